"""What a model is shown of a dialogue, within a budget of tokens: pure functions over plain values.

A message is read into a turn (`turns`), turns that belong together are kept together (`pairing`),
the newest of them make the window (`window`), what is recalled becomes one note (`notes`), all is
brought together (`assembly`) and written as a provider takes it (`formats`).
"""

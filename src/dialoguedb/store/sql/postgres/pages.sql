-- page_bounded --
-- Of the rows of another statement those that a page of so many bytes takes, and one behind them:
-- what begins within the bytes, and the second row, since the first is taken whatever it has. What
-- is long is not read to be measured. Here and not in both/: SQLite reads a row when it is wanted.
SELECT * FROM (
    SELECT page.*, row_number() OVER so_far <= 2
        OR SUM(0 /* size */) OVER so_far - 0 /* size */ <= :most_bytes AS wanted
    FROM (SELECT 0 /* statement */) AS page (c0 /* names */)
    WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS measured WHERE wanted

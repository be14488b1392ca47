-- Index: line's primary key, the part of the partition. The segments of a line that has shares of pools begin with a 2, see rater/segments.go.
SELECT invoice, line, account, product, currency, amount, version, segments FROM line_now
WHERE partition = $1 AND usage_start < $3 AND usage_end > $2 AND length(segments) > 0 AND get_byte(segments, 0) = 2
ORDER BY family, position

-- Index: line_cut_pkey. Up to which commit there is something to fold, how many lines it is, and how far that has come.
SELECT k.cut, sum(k.lines) OVER (ORDER BY k.cut), k.folded
FROM line_cut k
WHERE k.partition = $1
ORDER BY k.cut DESC
LIMIT 1

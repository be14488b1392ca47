-- What changed in the sequence numbers $1 to $2. Index: definition_by_seq.
SELECT seq, kind, id, CASE kind WHEN 'contract' THEN parent ELSE '' END
FROM definition WHERE seq BETWEEN $1 AND $2 ORDER BY seq, kind, id

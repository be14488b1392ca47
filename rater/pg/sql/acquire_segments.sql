-- Index: identity_segment_pkey, from the oldest day that counts on; identity_day_pkey leaves compacted days out.
SELECT s.entries
FROM identity_segment s
WHERE s.partition = $1 AND s.day >= $2
  AND NOT EXISTS (SELECT FROM identity_day d WHERE d.partition = s.partition AND d.day = s.day)
ORDER BY s.day, s.next_offset

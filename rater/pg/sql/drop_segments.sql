-- Index: identity_segment_pkey. Segments of compacted days, and of days that no longer count.
DELETE FROM identity_segment s
WHERE s.partition = $1 AND (s.day < $2
   OR EXISTS (SELECT FROM identity_day d WHERE d.partition = s.partition AND d.day = s.day))

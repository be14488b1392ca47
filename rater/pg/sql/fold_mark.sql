-- Index: line_cut_pkey. A failover may lose a part of a folding and not the commits before it; then the row is not as it was left.
UPDATE line_cut
SET folded = $4
WHERE partition = $1 AND cut = $2 AND folded IS NOT DISTINCT FROM $3::uuid

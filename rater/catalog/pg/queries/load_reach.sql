-- The accounts that a difference concerns: those of $3, those that have one of the products and packages ($1, $2) and those whose
-- contracts name one of the rate classes among them, and unless $9 all below them that inherit prices. The document defines or deletes the accounts $4 and
-- the contracts $5; of the accounts that it defines $6 inherit from $7. How many there are, and the first $8.
-- Indexes: definition_use_by_used, definition_pkey, account_by_parent.
WITH RECURSIVE reached (id) AS (
    SELECT id FROM (
        SELECT id FROM unnest($3::text[]) AS named (id)
        UNION
        SELECT u.id
        FROM unnest($1::text[], $2::text[]) AS want (kind, id)
        JOIN definition_use u ON u.used_kind = want.kind AND u.used_id = want.id AND u.kind = 'account' AND u.id <> ALL ($4::text[])
        WHERE want.kind <> 'rate_class'
        UNION
        SELECT c.parent
        FROM unnest($1::text[], $2::text[]) AS want (kind, id)
        JOIN definition_use u ON u.used_kind = want.kind AND u.used_id = want.id AND u.kind = 'contract' AND u.id <> ALL ($5::text[])
        CROSS JOIN LATERAL (SELECT parent FROM definition WHERE kind = 'contract' AND id = u.id ORDER BY seq DESC LIMIT 1) c
        WHERE want.kind = 'rate_class'
    ) roots
    UNION
    SELECT below.id
    FROM reached
    CROSS JOIN LATERAL (
        SELECT a.id
        FROM account a
        CROSS JOIN LATERAL (SELECT body FROM definition WHERE kind = 'account' AND id = a.id ORDER BY seq DESC LIMIT 1) d
        WHERE a.parent = reached.id AND a.parent <> '' AND NOT a.deleted AND a.id <> ALL ($4::text[])
          AND d.body::jsonb -> 'inherit_pricing' IS DISTINCT FROM 'false'::jsonb
        UNION ALL
        SELECT child.id FROM unnest($6::text[], $7::text[]) AS child (id, parent) WHERE child.parent = reached.id
    ) below
    WHERE NOT $9
)
SELECT count(*), COALESCE((array_agg(id ORDER BY id))[1:$8], '{}') FROM reached

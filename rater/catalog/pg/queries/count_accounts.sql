-- How many accounts there are but those of $1, which the document defines or deletes, and the first $2. Index: account_pkey.
SELECT count(*), COALESCE((SELECT array_agg(id) FROM (SELECT id FROM account WHERE NOT deleted AND id <> ALL ($1::text[]) ORDER BY id LIMIT $2) few), '{}')
FROM account WHERE NOT deleted AND id <> ALL ($1::text[])

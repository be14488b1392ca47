-- Who has or had the identifiers $1. Index: identifier_pkey.
SELECT i.value, i.account, i.start_at, i.end_at
FROM unnest($1::text[]) AS want (value) JOIN identifier i ON i.value = want.value

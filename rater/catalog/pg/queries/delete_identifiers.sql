-- The identifiers of the accounts $1. Index: identifier_by_account.
DELETE FROM identifier i USING unnest($1::text[]) AS gone (account) WHERE i.account = gone.account

-- Index: seal_pkey, one descent an account.
SELECT account, points FROM seal WHERE partition = $1 AND account = ANY ($2::text[])

-- Whether nothing up to $1 can still change lines of the accounts $2. Indexes: rerate_job_open, rerate_account_pkey, rater_pool_unsettled.
SELECT NOT EXISTS (SELECT FROM rerate_job WHERE phase IN ('looking', 'waiting') AND seq <= $1)
   AND NOT EXISTS (SELECT FROM rerate_account WHERE account = ANY ($2::text[]) AND seq <= $1 AND state = 'open')
   AND NOT EXISTS (SELECT FROM rater_pool WHERE seq < 0 AND seq >= -$1::bigint)

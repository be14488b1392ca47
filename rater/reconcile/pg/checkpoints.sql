-- One statement, so that offsets and counts are of one moment. At most a row a partition and currency; index: rater_count's primary key.
SELECT c.partition, c.next_offset, c.last_offset, n.currency, n.accepted, n.retried, n.rated, n.duplicates, n.rejected, n.charged
FROM rater_checkpoint c LEFT JOIN rater_count n ON n.partition = c.partition AND n.month = $1
ORDER BY c.partition, n.currency

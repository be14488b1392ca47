-- Index: line_by_invoice.
SELECT partition, invoice, line, account, product, currency, amount, version FROM line_now WHERE invoice = ANY($1)
ORDER BY invoice, line, partition

INSERT INTO rated_activity (source_partition, usage_offset, activity_index, log_ns, month, event_time, event_ns, kind, event_id, source,
 account, billed_account, seller, product, package, attribute_names, attribute_values, group_names, group_values,
 quantity, charge, currency, level, rate_account, rate_id, rate_seq, rate_model, activated_seq,
 invoice, period_start_ns, period_end_ns, line, usage_start_ns, usage_end_ns, line_amount,
 event_package, has_amount, amount, amount_currency, amount_exchange_rate, amount_exchange_date, rate_currency, rate_exchange_rate, rate_exchange_date,
 corrects_source, corrects_id, corrects_below) VALUES

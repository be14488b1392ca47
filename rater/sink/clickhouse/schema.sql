-- Rated activity, one row for each activity. ReplacingMergeTree takes out rows that were inserted twice:
-- a key never carries two contents. The month of the event time (year*12 + month-1, UTC) is a column of its
-- own because event_time is cut to what DateTime can hold; it is there for people, no answer rests on it.
CREATE TABLE IF NOT EXISTS rated_activity (
    source_partition Int32,
    usage_offset     Int64,
    activity_index   Int32,
    log_ns           Int64,
    month            Int32,
    event_time       DateTime,
    event_ns         Int64,
    kind             Int16,
    event_id         String,
    source           String,
    account          String,
    billed_account   String,
    seller           String,
    product          String,
    package          String,
    attribute_names  Array(String),
    attribute_values Array(String),
    group_names      Array(String),
    group_values     Array(String),
    quantity         Decimal(38, 12),
    charge           Decimal(38, 12),
    currency         String,
    level            String,
    rate_account     String,
    rate_id          String,
    rate_seq         Int64,
    rate_model       String,
    activated_seq    Int64,
    invoice          FixedString(16),
    period_start_ns  Int64,
    period_end_ns    Int64,
    line             FixedString(16),
    usage_start_ns   Int64,
    usage_end_ns     Int64,
    line_amount      Decimal(38, 12)
) ENGINE = ReplacingMergeTree
PARTITION BY month
ORDER BY (account, product, source_partition, usage_offset, activity_index)

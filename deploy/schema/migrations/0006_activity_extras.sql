-- What a usage event brought along besides its quantity, and the exchange rates that its charge rests on.

-- +goose Up
-- Constant defaults: the rows that are there are not written anew. Dates in days since 1970-01-01; '' and 0 where there is none.
ALTER TABLE rated_activity
    ADD COLUMN event_package        text     COLLATE "C" NOT NULL DEFAULT '',   -- that the event named
    ADD COLUMN has_amount           smallint NOT NULL DEFAULT 0,                -- 1: it carried an amount
    ADD COLUMN amount               numeric  NOT NULL DEFAULT 0,
    ADD COLUMN amount_currency      text     COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN amount_exchange_rate numeric  NOT NULL DEFAULT 0,                -- from amount_currency to the rate's
    ADD COLUMN amount_exchange_date integer  NOT NULL DEFAULT 0,
    ADD COLUMN rate_currency        text     COLLATE "C" NOT NULL DEFAULT '',   -- '': that of the line
    ADD COLUMN rate_exchange_rate   numeric  NOT NULL DEFAULT 0,                -- from rate_currency to the line's
    ADD COLUMN rate_exchange_date   integer  NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE rated_activity
    DROP COLUMN event_package, DROP COLUMN has_amount, DROP COLUMN amount, DROP COLUMN amount_currency, DROP COLUMN amount_exchange_rate,
    DROP COLUMN amount_exchange_date, DROP COLUMN rate_currency, DROP COLUMN rate_exchange_rate, DROP COLUMN rate_exchange_date;

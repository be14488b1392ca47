-- index: primary key
SELECT secret FROM access_secret WHERE name = $1

COPY upgrade_append FROM 'upgrade_append.csv' (FORMAT 'csv', allow_quoted_nulls false, force_not_null ('action', 'count', 'datetime', 'event_key'), quote '"', delimiter ',', header 1);
COPY upgrade_merge FROM 'upgrade_merge.csv' (FORMAT 'csv', allow_quoted_nulls false, force_not_null ('action', 'count', 'datetime', 'event_key'), quote '"', delimiter ',', header 1);
COPY upgrade_replace FROM 'upgrade_replace.csv' (FORMAT 'csv', allow_quoted_nulls false, force_not_null ('action', 'count', 'datetime', 'event_key'), quote '"', delimiter ',', header 1);

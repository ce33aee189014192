-- breaking: false
-- Which failure groups were alerted lately, and how many: with too many, the rest share one alert.
create index alerts_created on inbox.alerts (created_at);

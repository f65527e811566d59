DROP INDEX audit_events_of_revocations;
DROP INDEX audit_events_by_subject;
DROP TABLE spent_forms;
DROP TABLE sessions;

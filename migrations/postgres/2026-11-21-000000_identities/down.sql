DROP TABLE check_runs;
DROP TABLE checks;
DROP TABLE identity_associations;
DROP TABLE supersessions;
DROP TABLE managed_identities;
DROP TABLE identities;

//! The tables as Diesel sees them: one description for every database.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    accounts (id) {
        id -> Binary,
        name -> Text,
        is_operator -> Bool,
        created_at -> BigInt,
    }
}

table! {
    zones (id) {
        id -> Binary,
        account_id -> Binary,
        name -> Text,
        created_at -> BigInt,
    }
}

table! {
    master_keys (version) {
        version -> Integer,
        check_value -> Binary,
        created_at -> BigInt,
    }
}

table! {
    authorities (id) {
        id -> Binary,
        account_id -> Binary,
        zone_id -> Nullable<Binary>,
        parent_id -> Nullable<Binary>,
        name -> Text,
        state -> SmallInt,
        key_type -> Text,
        serial -> Binary,
        certificate -> Binary,
        sealed_key -> Binary,
        key_version -> Integer,
        ski -> Binary,
        not_before -> BigInt,
        not_after -> BigInt,
        created_at -> BigInt,
        crl_shards -> Integer,
        crl_shard_url -> Nullable<Text>,
    }
}

table! {
    certificates (zone_id, id) {
        id -> Binary,
        zone_id -> Binary,
        authority_id -> Binary,
        serial -> Binary,
        der -> Binary,
        csr -> Text,
        ski -> Binary,
        fingerprint_sha256 -> Binary,
        spki_sha256 -> Binary,
        signature -> Text,
        common_name -> Text,
        subject -> Text,
        subject_alternative_names -> Text,
        profile -> Text,
        validity_days -> Integer,
        not_before -> BigInt,
        not_after -> BigInt,
        created_at -> BigInt,
        status -> SmallInt,
        version -> Integer,
        revocation_reason -> Nullable<SmallInt>,
        revocation_requested_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        revocation_crl_number -> Nullable<BigInt>,
        receipt_status -> Nullable<SmallInt>,
        receipt_crl_number -> Nullable<BigInt>,
        receipt_published_at -> Nullable<BigInt>,
        invalidity_at -> Nullable<BigInt>,
    }
}

table! {
    certificate_counters (zone_id, status) {
        zone_id -> Binary,
        status -> SmallInt,
        total -> BigInt,
    }
}

table! {
    transitions (certificate_id) {
        certificate_id -> Binary,
        zone_id -> Binary,
        authority_id -> Binary,
        serial -> Binary,
        status -> SmallInt,
        version -> Integer,
        reason -> SmallInt,
        requested_at -> BigInt,
        not_after -> BigInt,
        job_id -> Nullable<Binary>,
        invalidity_at -> Nullable<BigInt>,
    }
}

table! {
    revocations (authority_id, shard, serial) {
        authority_id -> Binary,
        shard -> Integer,
        serial -> Binary,
        certificate_id -> Binary,
        zone_id -> Binary,
        reason -> SmallInt,
        revoked_at -> BigInt,
        invalidity_at -> Nullable<BigInt>,
        not_after -> BigInt,
        is_listed -> Bool,
    }
}

table! {
    crl_changes (authority_id, number, serial) {
        authority_id -> Binary,
        number -> BigInt,
        serial -> Binary,
        reason -> Nullable<SmallInt>,
        revoked_at -> Nullable<BigInt>,
        invalidity_at -> Nullable<BigInt>,
    }
}

table! {
    crls (authority_id, scope) {
        authority_id -> Binary,
        scope -> Integer,
        number -> BigInt,
        this_update -> BigInt,
        next_update -> BigInt,
        distribution_point -> Nullable<Text>,
        is_whole -> Bool,
        head -> Binary,
        tail -> Binary,
        entries_length -> BigInt,
    }
}

table! {
    publications (authority_id) {
        authority_id -> Binary,
        number -> BigInt,
        this_update -> BigInt,
        next_update -> BigInt,
        lease_owner -> Nullable<Binary>,
        lease_until -> BigInt,
        fence -> BigInt,
        attempts -> Integer,
        retry_at -> BigInt,
        base_number -> BigInt,
        base_at -> BigInt,
        oldest_update -> BigInt,
    }
}

table! {
    ocsp_responders (authority_id, serial) {
        authority_id -> Binary,
        serial -> Binary,
        certificate -> Binary,
        key_type -> Text,
        sealed_key -> Binary,
        key_version -> Integer,
        not_before -> BigInt,
        not_after -> BigInt,
        created_at -> BigInt,
    }
}

table! {
    bulk_jobs (id) {
        id -> Binary,
        account_id -> Binary,
        zone_id -> Binary,
        action -> SmallInt,
        reason -> Nullable<SmallInt>,
        invalidity_at -> Nullable<BigInt>,
        selector -> Text,
        state -> SmallInt,
        total -> BigInt,
        processed -> BigInt,
        changed -> BigInt,
        unchanged -> BigInt,
        refused -> BigInt,
        last_certificate -> Nullable<Binary>,
        actor_token_id -> Nullable<Binary>,
        actor_name -> Text,
        source -> Text,
        failure -> Nullable<Text>,
        attempts -> Integer,
        retry_at -> BigInt,
        lease_until -> BigInt,
        fence -> BigInt,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
    }
}

table! {
    events (number) {
        number -> BigInt,
        account_id -> Binary,
        zone_id -> Nullable<Binary>,
        at -> BigInt,
        kind -> Text,
        body -> Text,
    }
}

table! {
    expiry_notices (zone_id, within_days) {
        zone_id -> Binary,
        within_days -> SmallInt,
        told_until -> BigInt,
        told_certificate -> Nullable<Binary>,
    }
}

table! {
    webhooks (id) {
        id -> Binary,
        account_id -> Binary,
        zone_id -> Binary,
        name -> Text,
        url -> Text,
        kinds -> Text,
        hears_account -> Bool,
        trusted_ca -> Text,
        sealed_secret -> Binary,
        key_version -> Integer,
        is_enabled -> Bool,
        last_event -> BigInt,
        attempts -> Integer,
        retry_at -> BigInt,
        failing_since -> Nullable<BigInt>,
        lease_until -> BigInt,
        fence -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

table! {
    webhook_deliveries (webhook_id, id) {
        webhook_id -> Binary,
        id -> Binary,
        zone_id -> Binary,
        first_event -> BigInt,
        last_event -> BigInt,
        event_count -> Integer,
        attempt -> Integer,
        at -> BigInt,
        duration_millis -> BigInt,
        status -> Nullable<Integer>,
        failure -> Nullable<Text>,
    }
}

table! {
    tokens (id) {
        id -> Binary,
        account_id -> Binary,
        name -> Text,
        value_sha256 -> Binary,
        permissions -> Text,
        zones -> Nullable<Text>,
        not_before -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}

table! {
    sessions (id) {
        id -> Binary,
        account_id -> Binary,
        value_sha256 -> Binary,
        token_sha256 -> Binary,
        source -> Text,
        agent -> Text,
        created_at -> BigInt,
        seen_at -> BigInt,
        expires_at -> BigInt,
    }
}

table! {
    spent_forms (session_id, nonce) {
        session_id -> Binary,
        nonce -> Binary,
        spent_at -> BigInt,
    }
}

table! {
    idempotency_keys (token_id, key_sha256) {
        token_id -> Binary,
        key_sha256 -> Binary,
        request_sha256 -> Binary,
        zone_id -> Binary,
        certificate_id -> Binary,
        messages -> Text,
        created_at -> BigInt,
    }
}

table! {
    blocked_keys (account_id, spki_sha256) {
        account_id -> Binary,
        spki_sha256 -> Binary,
        reason -> SmallInt,
        created_at -> BigInt,
    }
}

table! {
    hostname_associations (zone_id, mtls_certificate_id) {
        zone_id -> Binary,
        mtls_certificate_id -> Text,
        hostnames -> Text,
        updated_at -> BigInt,
    }
}

table! {
    audit_events (id) {
        id -> Binary,
        at -> BigInt,
        account_id -> Binary,
        zone_id -> Nullable<Binary>,
        actor_token_id -> Nullable<Binary>,
        actor_name -> Text,
        source -> Text,
        action -> Text,
        subject -> Text,
        result -> SmallInt,
        detail -> Text,
    }
}

table! {
    identities (id) {
        id -> Binary,
        account_id -> Binary,
        name -> Text,
        is_ca -> Bool,
        certificates -> Text,
        trusted_ca -> Text,
        hosts -> Text,
        is_primary -> Bool,
        labels -> Text,
        subject -> Text,
        issuer -> Text,
        common_name -> Text,
        serial -> Binary,
        signature -> Text,
        key_type -> Text,
        fingerprint_sha256 -> Binary,
        spki_sha256 -> Binary,
        subject_alternative_names -> Text,
        not_before -> BigInt,
        not_after -> BigInt,
        sealed_key -> Nullable<Binary>,
        key_version -> Nullable<Integer>,
        expiry_notice -> Nullable<SmallInt>,
        version -> Integer,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

table! {
    managed_identities (identity_id) {
        identity_id -> Binary,
        account_id -> Binary,
        zone_id -> Binary,
        certificate_id -> Binary,
        plan -> Text,
        renew_at -> BigInt,
        retry_at -> BigInt,
        attempts -> Integer,
    }
}

table! {
    supersessions (certificate_id) {
        certificate_id -> Binary,
        zone_id -> Binary,
        revoke_at -> BigInt,
        reason -> SmallInt,
    }
}

table! {
    identity_associations (identity_id, name) {
        identity_id -> Binary,
        name -> Text,
        account_id -> Binary,
        kind -> Text,
        link -> Text,
        created_at -> BigInt,
    }
}

table! {
    checks (id) {
        id -> Binary,
        account_id -> Binary,
        name -> Text,
        url -> Text,
        method -> Text,
        headers -> Text,
        body -> Nullable<Text>,
        sealed_secrets -> Nullable<Binary>,
        key_version -> Nullable<Integer>,
        expectations -> Text,
        identity_mode -> SmallInt,
        identity_id -> Nullable<Binary>,
        trusted_ca_id -> Nullable<Binary>,
        interval_seconds -> Nullable<BigInt>,
        timeout_millis -> BigInt,
        is_enabled -> Bool,
        state -> Nullable<SmallInt>,
        state_since -> Nullable<BigInt>,
        last_run_at -> Nullable<BigInt>,
        next_run_at -> Nullable<BigInt>,
        lease_until -> BigInt,
        fence -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

table! {
    check_runs (check_id, id) {
        check_id -> Binary,
        id -> Binary,
        account_id -> Binary,
        state -> SmallInt,
        report -> Text,
    }
}

joinable!(zones -> accounts (account_id));
joinable!(certificates -> authorities (authority_id));
joinable!(hostname_associations -> zones (zone_id));
joinable!(managed_identities -> identities (identity_id));
allow_tables_to_appear_in_same_query!(accounts, zones);
allow_tables_to_appear_in_same_query!(authorities, ocsp_responders);
allow_tables_to_appear_in_same_query!(certificates, authorities);
allow_tables_to_appear_in_same_query!(certificates, revocations);
allow_tables_to_appear_in_same_query!(identities, managed_identities);
allow_tables_to_appear_in_same_query!(hostname_associations, zones);
allow_tables_to_appear_in_same_query!(events, webhooks);
allow_tables_to_appear_in_same_query!(sessions, tokens);

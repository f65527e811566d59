use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PublicKeyData, SerialNumber,
};

use super::*;

fn now() -> DateTime<Utc> {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

fn params(name: &str, is_ca: bool, end: i32, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(end, 1, 1);
    params.serial_number = Some(SerialNumber::from(serial));
    params.use_authority_key_identifier_extension = true;
    params
}

fn authority(name: &str) -> Authority {
    Authority { params: params(name, true, 2040, 1), key: KeyPair::generate().unwrap() }
}

impl Authority {
    fn root(&self) -> ForeignCertificate {
        read(self.params.self_signed(&self.key).unwrap().der())
    }

    fn issue(&self, params: &CertificateParams, key: &KeyPair) -> ForeignCertificate {
        read(params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().der())
    }

    fn certify(&self, other: &Self) -> ForeignCertificate {
        self.issue(&other.params, &other.key)
    }
}

fn read(der: &[u8]) -> ForeignCertificate {
    ForeignCertificate::from_der(der).unwrap()
}

fn names(certificates: &[ForeignCertificate]) -> Vec<&str> {
    certificates.iter().map(|certificate| certificate.common_name.as_str()).collect()
}

/// A leaf, its intermediates from below, and the root.
fn hierarchy() -> (KeyPair, Vec<ForeignCertificate>) {
    let (root, upper, lower) = (authority("root"), authority("upper"), authority("lower"));
    let key = KeyPair::generate().unwrap();
    let leaf = lower.issue(&params("leaf", false, 2030, 7), &key);
    (key, vec![leaf, upper.certify(&lower), root.certify(&upper), root.root()])
}

#[test]
fn any_order_becomes_the_right_one_and_strangers_are_left_out() {
    let (key, proper) = hierarchy();
    let stranger = authority("stranger").root();
    let sent = vec![
        proper[3].clone(),
        stranger.clone(),
        proper[1].clone(),
        proper[0].clone(),
        proper[2].clone(),
        proper[1].clone(),
    ];
    let ordered = order(sent, &key.subject_public_key_info(), &[], now()).unwrap();
    assert_eq!(names(&ordered.chain), ["leaf", "lower", "upper", "root"]);
    assert_eq!(ordered.left_out, [stranger]);
    let told = ordered.messages.join("\n");
    assert!(told.contains("sent more than once: CN=lower"), "{told}");
    assert!(told.contains("left out, because the chain does not need them: CN=stranger"), "{told}");
    assert!(told.contains("includes its root (CN=root)"), "{told}");
}

#[test]
fn a_leaf_alone_is_told_and_a_chain_without_its_root_is_not() {
    let (key, proper) = hierarchy();
    let alone = order(vec![proper[0].clone()], &key.subject_public_key_info(), &[], now()).unwrap();
    assert!(alone.messages[0].contains("its issuer (CN=lower) was not sent"), "{:?}", alone.messages);
    let without_root = order(proper[..3].to_vec(), &key.subject_public_key_info(), &[], now()).unwrap();
    assert_eq!((without_root.chain.len(), without_root.messages.len()), (3, 0));
}

#[test]
fn of_two_authorities_with_one_name_the_signer_is_taken() {
    let (real, namesake) = (authority("issuer"), authority("issuer"));
    let key = KeyPair::generate().unwrap();
    let leaf = real.issue(&params("leaf", false, 2030, 7), &key);
    let (real, namesake) = (real.root(), namesake.root());
    let sent = vec![namesake.clone(), real.clone(), leaf.clone()];
    let ordered = order(sent, &key.subject_public_key_info(), &[], now()).unwrap();
    assert!(ordered.chain == [leaf, real] && ordered.left_out == [namesake]);
}

#[test]
fn of_two_certificates_for_the_key_the_newer_is_taken() {
    let issuer = authority("issuer");
    let key = KeyPair::generate().unwrap();
    let [older, newer, outlived] =
        [(2029, 7), (2030, 8), (2026, 9)].map(|(end, serial)| issuer.issue(&params("leaf", false, end, serial), &key));
    let sent = vec![older.clone(), newer.clone(), outlived.clone()];
    let ordered = order(sent, &key.subject_public_key_info(), &[], now()).unwrap();
    assert_eq!(ordered.chain, [newer]);
    assert!(ordered.messages[0].contains("3 certificates belong to the private key"), "{:?}", ordered.messages);
    assert_eq!(ordered.left_out, [older, outlived]);
}

#[test]
fn authorities_that_certify_each_other_do_not_make_an_endless_chain() {
    let (one, two) = (authority("one"), authority("two"));
    let key = KeyPair::generate().unwrap();
    let leaf = one.issue(&params("leaf", false, 2030, 7), &key);
    let sent = vec![leaf, one.certify(&two), two.certify(&one)];
    let ordered = order(sent, &key.subject_public_key_info(), &[], now()).unwrap();
    assert_eq!(names(&ordered.chain), ["leaf", "one", "two"]);
}

#[test]
fn a_chain_without_end_is_cut() {
    let authorities: Vec<Authority> = (0..MAX_LENGTH + 3).map(|_| authority("same")).collect();
    let key = KeyPair::generate().unwrap();
    let leaf = authorities[0].issue(&params("leaf", false, 2030, 7), &key);
    let links = authorities.windows(2).map(|pair| pair[1].certify(&pair[0]));
    let ordered = order(links.chain([leaf]).collect(), &key.subject_public_key_info(), &[], now()).unwrap();
    assert_eq!(ordered.chain.len(), MAX_LENGTH);
}

#[test]
fn without_a_certificate_of_the_key_there_is_no_chain() {
    let (_, proper) = hierarchy();
    let other = KeyPair::generate().unwrap();
    assert!(order(proper, &other.subject_public_key_info(), &[], now()).is_none());
    assert!(order(Vec::new(), &other.subject_public_key_info(), &[], now()).is_none());
}

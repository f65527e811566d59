use std::fs;

use super::*;
use crate::clock::Clock;
use crate::config::Environment;
use crate::x509::pem;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keys/upload/fixtures").join(name)
}

fn context<const N: usize>(variables: [(&str, &str); N]) -> Context {
    Context { environment: Environment::from(variables), clock: Clock::system() }
}

fn options() -> MaterialOptions {
    MaterialOptions { key: None, trusted_ca: None, passphrase_file: None }
}

fn kind(content: &Content) -> &'static str {
    match content {
        Content::Text(_) => "text",
        Content::Pkcs12(_) => "PKCS#12",
    }
}

fn classified(bytes: &[u8]) -> Result<Content, &'static str> {
    classify(Zeroizing::new(bytes.to_vec()))
}

#[test]
fn files_are_told_apart_by_what_is_in_them() {
    for (name, expected) in
        [("chain.pem", "text"), ("modern.p12", "PKCS#12"), ("ber.p12", "PKCS#12"), ("keytool.p12", "PKCS#12")]
    {
        assert_eq!(kind(&content(&fixture(name)).unwrap()), expected, "{name}");
    }
    let text = fs::read_to_string(fixture("device.crt.pem")).unwrap();
    let der = pem::decode_all("CERTIFICATE", &text).unwrap().remove(0);
    let Content::Text(converted) = classified(&der).unwrap() else { panic!("a certificate in DER is one") };
    assert_eq!(pem::decode_all("CERTIFICATE", converted.expose_secret()).unwrap(), [der]);
    assert_eq!(kind(&classified(b"name: M\xfcller\n-----BEGIN CERTIFICATE-----").unwrap()), "text");
}

#[test]
fn what_cannot_be_sent_is_told_with_the_way_out() {
    let wrong = |bytes: &[u8]| classified(bytes).err().unwrap();
    assert!(wrong(b"\n").contains("empty"));
    assert!(wrong(&[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0xff]).contains("keytool -importkeystore"));
    assert!(wrong(b"\xff\xfe-\0-\0").contains("UTF-8"));
    let text = fs::read_to_string(fixture("p256.key.pem")).unwrap();
    let key = pem::decode_all("PRIVATE KEY", &text).unwrap().remove(0);
    assert!(wrong(&key).contains("openssl pkey -inform DER"));
    for length in 0..40 {
        let _ = classified(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff].repeat(length));
    }
}

#[test]
fn files_go_where_they_belong() {
    let options =
        MaterialOptions { key: Some(fixture("p256.key.pem")), trusted_ca: Some(fixture("trusted.pem")), ..options() };
    let read = read(&[fixture("device.crt.pem"), fixture("chain.pem")], &options, &context([])).unwrap();
    let written: serde_json::Value = serde_json::to_value(&read).unwrap();
    assert!(written["certificates"].as_str().unwrap().matches("BEGIN CERTIFICATE").count() > 1);
    assert!(written["private_key"].as_str().unwrap().contains("BEGIN PRIVATE KEY"));
    assert!(written["trusted_ca"].as_str().unwrap().contains("BEGIN"));
    assert!(written.get("pkcs12").is_none() && written.get("passphrase").is_none());
}

#[test]
fn a_pkcs12_file_is_sent_in_base64_and_only_one_of_them() {
    let context = context([("COUNTERSIGN_PASSPHRASE", "secret")]);
    let written = serde_json::to_value(read(&[fixture("modern.p12")], &options(), &context).unwrap()).unwrap();
    let sent = STANDARD.decode(written["pkcs12"].as_str().unwrap()).unwrap();
    assert_eq!(sent, fs::read(fixture("modern.p12")).unwrap());
    assert_eq!(written["passphrase"], "secret");
    let twice = [fixture("modern.p12"), fixture("legacy.p12")];
    assert!(read(&twice, &options(), &context).err().unwrap().message().unwrap().contains("two PKCS#12 files"));
    let as_key = MaterialOptions { key: Some(fixture("modern.p12")), ..options() };
    let error = read(&[fixture("device.crt.pem")], &as_key, &context).err().unwrap();
    assert!(error.message().unwrap().contains("without --key"), "{error:?}");
}

#[test]
fn a_passphrase_is_missed_only_where_something_is_locked() {
    let with_key = |name: &str| {
        let options = MaterialOptions { key: Some(fixture(name)), ..options() };
        read(&[fixture("device.crt.pem")], &options, &context([]))
    };
    for name in ["old-aes256.key.pem", "scrypt.key.pem"] {
        let message = with_key(name).err().unwrap().message().unwrap().to_owned();
        assert!(message.contains("--passphrase-file FILE or COUNTERSIGN_PASSPHRASE"), "{message}");
    }
    assert!(read(&[fixture("modern.p12")], &options(), &context([])).is_err());
    assert!(read(&[fixture("empty.p12")], &options(), &context([])).is_ok());
    assert!(with_key("p256.key.pem").is_ok());
    let idle = read(&[fixture("empty.p12")], &options(), &context([("COUNTERSIGN_PASSPHRASE", "secret")]));
    assert!(idle.unwrap().passphrase.is_none());
}

#[test]
fn stdin_is_read_once_only() {
    let options = MaterialOptions { key: Some("-".into()), ..options() };
    let error = read(&["-".into()], &options, &context([])).err().unwrap();
    assert_eq!(error.exit_code(), 2);
}

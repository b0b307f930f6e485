//! TLS as `openssl s_client` finds it: what `testssl` and the like look for.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mxfp4_server::{Config, Server, Tls};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SerialNumber};
use tempfile::TempDir;
use tokio::runtime::Runtime;

type Test = fn(&Place) -> Result<(), Failed>;

fn main() -> ExitCode {
    let tests: [(&str, Test); 4] = [
        ("only_tls_1_2_and_1_3_are_spoken", versions),
        (
            "only_ciphers_with_forward_secrecy_and_authentication_are_taken",
            ciphers,
        ),
        ("a_client_gets_no_more_than_it_needs", extras),
        ("a_renewed_certificate_is_shown_without_a_restart", renewal),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::ignorable_test(name, move || match Place::new() {
            Err(why) => Ok(Completion::ignored_with(why)),
            Ok(place) => test(&place).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// A server, and a folder with its certificate.
struct Place {
    _runtime: Runtime,
    server: Server,
    folder: TempDir,
}

impl Place {
    fn new() -> Result<Self, String> {
        let version = Command::new("openssl").arg("version").output();
        version.map_err(|error| format!("openssl: {error}"))?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        write(folder.path(), 1);
        let config = Config {
            port: 0,
            tls: Some(load(folder.path())),
            ..Config::default()
        };
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let server = runtime
            .block_on(Server::bind(config))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            _runtime: runtime,
            server,
            folder,
        })
    }

    /// What `openssl s_client` prints with these words, and whether it came in.
    fn client(&self, words: &str, input: &str) -> Result<(bool, String), Failed> {
        let address = self.server.addresses()[0].to_string();
        let mut client = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &address,
                "-servername",
                "server.test",
            ])
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = client.stdin.take() {
            // It may have ended.
            let _ = stdin.write_all(input.as_bytes());
        }
        let ran = client.wait_with_output()?;
        let mut text = String::from_utf8_lossy(&ran.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&ran.stderr));
        Ok((ran.status.success(), text))
    }
}

/// A certificate of this serial number, and then its key.
fn write(folder: &Path, serial: u64) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made");
    let mut parameters =
        rcgen::CertificateParams::new(vec!["server.test".to_owned()]).expect("it is a name");
    parameters.serial_number = Some(SerialNumber::from(serial));
    let certificate = parameters.self_signed(&key).expect("it can be signed");
    std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("it can be written");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("it can be written");
}

fn load(folder: &Path) -> Tls {
    Tls::load(folder.join("cert.pem"), folder.join("key.pem")).expect("they belong together")
}

fn fail<T>(message: String) -> Result<T, Failed> {
    Err(message.into())
}

fn versions(place: &Place) -> Result<(), Failed> {
    // The client offers it, old as it is, and the server says no; without an offer there is no such alert.
    for old in ["-tls1", "-tls1_1"] {
        let (came_in, text) = place.client(&format!("{old} -cipher ALL:@SECLEVEL=0"), "")?;
        let alerts = ["alert protocol version", "alert handshake failure"];
        if came_in || !alerts.iter().any(|alert| text.contains(alert)) {
            return fail(format!("{old}: {text}"));
        }
    }
    for (new, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (came_in, text) = place.client(&format!("{new} -alpn h2,http/1.1"), "")?;
        let protocol = text.contains(&format!("New, {name}, Cipher is"));
        if !came_in || !protocol || !text.contains("ALPN protocol: h2") {
            return fail(format!("{new}: {text}"));
        }
    }
    Ok(())
}

fn ciphers(place: &Place) -> Result<(), Failed> {
    let listed = Command::new("openssl")
        .args([
            "ciphers",
            "-s",
            "-tls1_2",
            "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
        ])
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let (mut tried, mut taken) = (0, Vec::new());
    for cipher in listed.trim().split(':') {
        let words = format!("-tls1_2 -cipher {cipher}:@SECLEVEL=0");
        tried += 1;
        if place.client(&words, "")?.0 {
            taken.push(cipher);
        }
    }
    let is_good = |cipher: &str| {
        let sealed = ["GCM", "CHACHA20"].iter().any(|mode| cipher.contains(mode));
        cipher.starts_with("ECDHE-") && sealed
    };
    match tried > 50 && !taken.is_empty() && taken.iter().all(|cipher| is_good(cipher)) {
        true => Ok(()),
        false => fail(format!("of {tried} ciphers these are taken: {taken:?}")),
    }
}

fn extras(place: &Place) -> Result<(), Failed> {
    let (_, text) = place.client("-tls1_2", "")?;
    for line in ["Compression: NONE", "Secure Renegotiation IS supported"] {
        if !text.contains(line) {
            return fail(format!("no {line:?} in {text}"));
        }
    }
    // `R` has the client ask for a new handshake on the same connection.
    let (_, text) = place.client("-tls1_2", "R\n")?;
    if !text.contains("RENEGOTIATING") || !text.contains("no renegotiation") {
        return fail(text);
    }
    let (_, text) = place.client("-tls1_3", "")?;
    match text.contains("Early data was not sent") && !text.contains("No ALPN negotiated, but") {
        true => Ok(()),
        false => fail(text),
    }
}

fn renewal(place: &Place) -> Result<(), Failed> {
    let serial = || -> Result<String, Failed> {
        let (_, text) = place.client("-showcerts", "")?;
        let Some(start) = text.find("-----BEGIN CERTIFICATE") else {
            return fail(text);
        };
        let file = place.folder.path().join("shown.pem");
        std::fs::write(&file, &text[start..])?;
        let shown = Command::new("openssl")
            .args(["x509", "-noout", "-serial", "-in"])
            .arg(file)
            .output()?;
        Ok(String::from_utf8(shown.stdout)?.trim().to_owned())
    };
    if serial()? != "serial=01" {
        return fail(serial()?);
    }
    write(place.folder.path(), 2);
    let start = Instant::now();
    while serial()? != "serial=02" {
        if start.elapsed() > Duration::from_secs(60) {
            return fail("the new certificate is not shown".to_owned());
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

//! Servers with TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use libtest_mimic::Trial;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::chat::rig::{Rig, chat, says};
use crate::chat::skippable;
use crate::support::{Skip, folder, run, tool};

pub fn trials() -> Vec<Trial> {
    vec![skippable(
        "https_is_spoken_with_whom_the_file_trusts",
        trusted,
    )]
}

fn trusted() -> Result<(), Skip> {
    let openssl = tool("openssl")?;
    let folder = folder::<&str, &str>([]);
    let made = run(Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-keyout",
            "key.pem",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        // It signs itself, and is no authority.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder.path()));
    assert_eq!(made.code, Some(0), "{made:?}");
    let rig = Rig::quick(&[says("", "Yes.")]);
    let (_runtime, address) = before(rig.address, folder.path());
    let ask = |host: &str, args: &[&str]| {
        let url = format!("https://{host}:{}", address.port());
        run(chat(folder.path(), &url)
            .args(args)
            .arg("x")
            .stdin(Stdio::null()))
    };
    for host in ["localhost", "127.0.0.1"] {
        let ran = ask(host, &["--tls-ca", "ca.pem"]);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "Yes.\n"), "{ran:?}");
    }
    // One whom nobody signed for is not spoken to.
    let ran = ask("localhost", &[]);
    assert!(ran.code == Some(5) && ran.stdout.is_empty(), "{ran:?}");
    let plain = format!("http://localhost:{}", address.port());
    let ran = run(chat(folder.path(), &plain).arg("x").stdin(Stdio::null()));
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert_eq!(rig.prompts().len(), 2);
    Ok(())
}

/// Speaks TLS before the server at `address`, with the key and the certificate of the folder.
fn before(address: SocketAddr, folder: &Path) -> (Runtime, SocketAddr) {
    let certificate = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("it was made");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("it was made");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = Runtime::new().expect("threads can be started");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("a port is free");
    let own = listener.local_addr().expect("it is bound");
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inner = TcpStream::connect(address).await?;
                let mut stream = acceptor.accept(stream).await?;
                copy_bidirectional(&mut stream, &mut inner).await
            });
        }
    });
    (runtime, own)
}

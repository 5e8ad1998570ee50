//! The load balancer of a fleet: a real nginx with the configuration of `deploy/compose`, before instances on loopback.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The file that compose mounts, as it was when this crate was compiled.
const CONFIG: &str = include_str!("../../../deploy/compose/nginx/nginx.conf");
/// When an instance gets no more calls, and for how long: as in the `upstreams.conf` of compose.
const FAILURES: &str = "max_fails=3 fail_timeout=1s";
/// How often the start, or a change of the instances, is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How many looks until it is given up: a minute's worth, although it takes well under a second on an idle core.
const LOOKS: usize = 6000;
/// How many ports are tried: another process may take one between the search and the start.
const PORTS_TRIED: usize = 5;
/// Most of the output that an error shows, in bytes from its end.
const LOG_SHOWN: usize = 2000;
/// Runs the program in its arguments, tells its process id, and ends it when standard input ends: however this process
/// ends, nginx ends too. Not with SIGKILL, which would leave its workers behind.
const SUPERVISOR: &str = r#"exec 3<&0
"$@" 3<&- & child=$!
echo "pid $child"
{ read -r _ <&3; kill -TERM "$child" 2>/dev/null; } & watcher=$!
wait "$child"; echo "exited $?"
kill "$watcher" 2>/dev/null"#;

/// Why nginx is not there or does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NginxError {
    /// Not installed.
    #[error(
        "nginx was not found: run `make tools` (Debian package nginx), or set BATON_NGINX to the program. \
         Looked at: {looked_at}"
    )]
    Missing {
        /// The places.
        looked_at: String,
    },
    /// The operating system refused.
    #[error("nginx: {0}")]
    Io(#[from] std::io::Error),
    /// It refuses its configuration, or did not get ready.
    #[error("nginx ended, or was not ready within a minute; its output: {log}")]
    NotReady {
        /// The end of its output.
        log: String,
    },
    /// There has to be an instance to send calls to.
    #[error("nginx needs at least one instance")]
    NoInstance,
}

/// A running nginx before some instances. It listens on 127.0.0.1 only and is ended when this is dropped.
#[derive(Debug)]
pub struct Nginx {
    supervisor: Child,
    pid: u32,
    port: u16,
    directory: TempDir,
}

impl Nginx {
    /// Starts nginx on a free port and waits until it answers.
    ///
    /// # Errors
    /// When nginx is not installed (the text says how to install it), there is no instance, or it does not get ready.
    pub async fn start(instances: &[SocketAddr]) -> Result<Self, NginxError> {
        let mut tried = 1;
        loop {
            match Self::start_once(instances).await {
                Err(NginxError::NotReady { log })
                    if tried < PORTS_TRIED && log.contains("Address already in use") =>
                {
                    tried += 1;
                }
                started => return started,
            }
        }
    }

    /// Where callers go.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that callers use, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// One line of JSON for each call that has ended, among what nginx has to say otherwise.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }

    /// Sends calls to other instances from now on, as an operator does who edits `upstreams.conf` and reloads. Calls
    /// under way are finished. Needs `/proc`.
    ///
    /// # Errors
    /// When there is no instance, or nginx does not take the change within a minute.
    pub async fn set_instances(&mut self, instances: &[SocketAddr]) -> Result<(), NginxError> {
        let before = self.workers()?;
        write_upstreams(self.directory.path(), instances)?;
        let status = Command::new("kill")
            .args(["-HUP", &self.pid.to_string()])
            .status()?;
        if !status.success() {
            return Err(self.not_ready());
        }
        for _ in 0..LOOKS {
            let now = self.workers()?;
            if !now.is_empty() && now.is_disjoint(&before) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.not_ready())
    }

    async fn start_once(instances: &[SocketAddr]) -> Result<Self, NginxError> {
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let path = directory.path();
        // Workers have another user than a master that is root, and keep large bodies here.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        write_nginx_files(path, instances, &format!("127.0.0.1:{port}"))?;
        // Several processes write to it.
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path.join("output"))?;
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(nginx_program()?)
            .arg("-p")
            .arg(path)
            .arg("-c")
            .arg(path.join("nginx.conf"))
            .args(["-g", "daemon off;"])
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut nginx = Self {
            supervisor,
            pid: 0,
            port,
            directory,
        };
        nginx.ready().await?;
        Ok(nginx)
    }

    async fn ready(&mut self) -> Result<(), NginxError> {
        for _ in 0..LOOKS {
            let output = self.log();
            if output.lines().any(|line| line.starts_with("exited ")) {
                break;
            }
            let pid = output.lines().find_map(|line| line.strip_prefix("pid "));
            self.pid = pid.and_then(|pid| pid.parse().ok()).unwrap_or(0);
            if self.pid != 0 && answers(self.port).await {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(self.not_ready())
    }

    fn not_ready(&self) -> NginxError {
        let log = self.log();
        let shown = log.len().saturating_sub(LOG_SHOWN);
        NginxError::NotReady {
            log: log.get(shown..).unwrap_or(&log).to_owned(),
        }
    }

    /// The workers that take calls: not those that finish their last ones.
    fn workers(&self) -> Result<BTreeSet<u32>, NginxError> {
        let pid = self.pid;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let children = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        Ok(children.filter(|child: &u32| takes_calls(*child)).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The supervisor ends nginx when its input ends. Nothing can be done about an error here.
        drop(self.supervisor.stdin.take());
        let _ended = self.supervisor.wait();
    }
}

/// Writes nginx's configuration into a folder: the file of `deploy/compose` as it is, and beside it the two that it
/// includes. `listen` is an address and port; addresses of the instances are what the test of the file itself replaces.
///
/// # Errors
/// When there is no instance, or a file cannot be written.
pub fn write_nginx_files(
    folder: &Path,
    instances: &[SocketAddr],
    listen: &str,
) -> Result<(), NginxError> {
    fs::write(folder.join("nginx.conf"), CONFIG)?;
    fs::write(folder.join("listen.conf"), format!("listen {listen};\n"))?;
    write_upstreams(folder, instances)
}

/// The program that `BATON_NGINX` names, else the first where programs and servers are, or where `scripts/tools` puts
/// it.
///
/// # Errors
/// When there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration that could name the program"
)]
pub fn nginx_program() -> Result<PathBuf, NginxError> {
    if let Some(named) = env::var_os("BATON_NGINX") {
        let named = PathBuf::from(named);
        return match named.is_file() {
            true => Ok(named),
            false => Err(missing(&[named])),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian has servers in folders that not every PATH names.
    let servers = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let here = env::current_dir().unwrap_or_default();
    let tools: Vec<PathBuf> = here
        .ancestors()
        .map(|above| above.join(".baton/tools/bin"))
        .collect();
    let folders = env::split_paths(&path).chain(servers).chain(tools);
    let places: Vec<PathBuf> = folders.map(|folder| folder.join("nginx")).collect();
    let found = places.iter().find(|place| place.is_file());
    found.cloned().ok_or_else(|| missing(&places))
}

fn missing(places: &[PathBuf]) -> NginxError {
    let looked_at: Vec<String> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    NginxError::Missing {
        looked_at: looked_at.join(", "),
    }
}

fn write_upstreams(folder: &Path, instances: &[SocketAddr]) -> Result<(), NginxError> {
    if instances.is_empty() {
        return Err(NginxError::NoInstance);
    }
    let mut lines = String::new();
    for instance in instances {
        // Writing to a text cannot fail.
        let _written = writeln!(lines, "server {instance} {FAILURES};");
    }
    Ok(fs::write(folder.join("upstreams.conf"), lines)?)
}

async fn answers(port: u16) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = "GET /nginx_status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    asked
        .await
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn takes_calls(process: u32) -> bool {
    // One that has ended has no title.
    let title = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    title.contains("worker process") && !title.contains("shutting down")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_install_it() {
        let text = missing(&[PathBuf::from("/nowhere/nginx")]).to_string();
        assert!(
            text.contains("make tools") && text.contains("/nowhere/nginx"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn it_needs_somebody_to_send_calls_to() {
        let error = Nginx::start(&[]).await.unwrap_err();
        assert!(matches!(error, NginxError::NoInstance), "{error}");
    }
}

//! Sends a command to the server that it is for, and says what became of it.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisError, Value, cmd};
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Failure, Verdict, verdict};
use crate::link::{Connected, Link, pause};
use crate::nodes::{Host, Nodes};
use crate::options::Address;
use crate::scripts::Text;
use crate::server::Run;
use crate::settings::Settings;

/// A command on its way.
pub(crate) struct Call<'a> {
    pub(crate) slot: u16,
    /// The whole command.
    pub(crate) command: Cmd,
    /// The script that it calls by digest.
    pub(crate) script: Option<&'a Text>,
    /// Bytes that it carries.
    pub(crate) bytes: usize,
    /// Whether doing it twice differs from doing it once.
    pub(crate) writes: bool,
    /// The run of the server that it is meant for, if only that one may do it.
    pub(crate) on: Option<On>,
}

/// The one run of a server that may do a call.
pub(crate) struct On {
    pub(crate) run: Run,
    /// A question for the same slot: another server that has the slot answers it only if it has the keys too, and else
    /// says where they are.
    pub(crate) probe: Cmd,
}

/// What a server answered, and which run of it.
pub(crate) struct Answered {
    pub(crate) value: Value,
    pub(crate) run: Run,
}

/// Sends calls.
pub(crate) struct Caller {
    pub(crate) settings: Arc<Settings>,
    pub(crate) nodes: Arc<Nodes>,
}

enum Sent {
    Value(Value),
    /// The server's error: its code and its text.
    Error(String, String),
    /// The connection broke, or nothing came in time.
    Broken(String),
}

/// Where the search for a server that takes a call stands.
struct Search {
    give_up: Instant,
    failed: u32,
    /// The server to ask next, instead of the one that has the slot.
    ask: Option<Arc<Host>>,
}

impl Caller {
    /// Sends a call until a server has answered it or it is unknown whether one did it; the latter ends a call that
    /// writes. Longest time: `search_timeout` and one `answer_timeout`.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answered, Failure> {
        let mut search = Search {
            give_up: Instant::now() + self.settings.options.search_timeout,
            failed: 0,
            ask: None,
        };
        loop {
            let asking = search.ask.is_some();
            let (link, connected) = self.find(call, &mut search).await?;
            let probe = match &call.on {
                Some(on) if on.run != connected.run => Some(&on.probe),
                Some(_) | None => None,
            };
            if probe.is_some() && (asking || !self.settings.is_cluster()) {
                return Err(Failure::Elsewhere);
            }
            let command = probe.unwrap_or(&call.command);
            let longest = self.settings.answer_timeout(call.bytes);
            match self.send(&link, &connected, command, longest, asking).await {
                Sent::Value(_) if probe.is_some() => return Err(Failure::Elsewhere),
                Sent::Value(value) => {
                    let run = connected.run;
                    return Ok(Answered { value, run });
                }
                Sent::Broken(reason) => {
                    self.nodes.doubt();
                    if call.writes && probe.is_none() {
                        return Err(Failure::Unknown(reason));
                    }
                    search.rest(reason).await?;
                }
                Sent::Error(code, detail) => {
                    let reason = format!("{}: {code} {detail}", link.address);
                    match verdict(&code, &detail) {
                        Verdict::NoScript => {
                            self.load(&connected, call, &mut search, reason).await?
                        }
                        Verdict::Moved(to) => {
                            self.follow(&link, &to, call, &mut search, reason).await?
                        }
                        Verdict::Ask(to) => {
                            search.ask = address(&to, &link).map(|to| self.nodes.host(to));
                            search.step(reason).await?;
                        }
                        Verdict::Later => {
                            self.nodes.doubt();
                            search.rest(reason).await?;
                        }
                        Verdict::Refused => return Err(Failure::NotDone(reason)),
                        Verdict::Other => return Err(Failure::Unknown(reason)),
                    }
                }
            }
        }
    }

    /// The server to send to, with a connection to it.
    async fn find(
        &self,
        call: &Call<'_>,
        search: &mut Search,
    ) -> Result<(Arc<Link>, Connected), Failure> {
        loop {
            let asked_for = search.ask.is_some();
            let routed = match search.ask.take() {
                Some(host) => Ok(host),
                None => self.nodes.route(call.slot, search.give_up).await,
            };
            let error = match routed {
                Ok(host) => {
                    let link = Arc::clone(host.link(call.slot, call.writes));
                    let is_routed = !asked_for;
                    tokio::select! {
                        biased;
                        connected = link.connected(search.give_up) => match connected {
                            Ok(connected) => return Ok((link, connected)),
                            Err(error) => error,
                        },
                        // Nobody has to wait for one that is not asked any more.
                        () = self.nodes.replaced(call.slot, &host), if is_routed => continue,
                    }
                }
                Err(error) => error,
            };
            if error.is_final {
                return Err(Failure::NotDone(error.reason));
            }
            self.nodes.doubt();
            search.rest(error.reason).await?;
        }
    }

    async fn send(
        &self,
        link: &Link,
        connected: &Connected,
        command: &Cmd,
        longest: Duration,
        asking: bool,
    ) -> Sent {
        let mut connection = connected.connection.clone();
        let answer = async {
            if !asking {
                return connection.req_packed_command(command).await;
            }
            let mut pipeline = redis::pipe();
            pipeline.cmd("ASKING").add_command(command.clone());
            let mut answers = connection.req_packed_commands(&pipeline, 0, 2).await?;
            Ok(answers.pop().unwrap_or_default())
        };
        match timeout(longest, answer).await {
            Ok(Ok(Value::ServerError(error))) => {
                let detail = error.details().unwrap_or_default();
                Sent::Error(error.code().to_owned(), detail.to_owned())
            }
            Ok(Ok(value)) => Sent::Value(value),
            Ok(Err(error)) => match server_error(&error) {
                Some((code, detail)) => Sent::Error(code, detail),
                None => {
                    link.discard(connected);
                    Sent::Broken(format!("{}: {error}", link.address))
                }
            },
            Err(_) => {
                // What comes after it would wait as well, and could not be told not to have been done.
                link.discard(connected);
                let address = &link.address;
                Sent::Broken(format!("{address}: no answer within {longest:?}"))
            }
        }
    }

    /// Gives the server the script again, which it has forgotten.
    async fn load(
        &self,
        connected: &Connected,
        call: &Call<'_>,
        search: &mut Search,
        reason: String,
    ) -> Result<(), Failure> {
        let Some(script) = call.script else {
            return Err(Failure::NotDone(reason));
        };
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(script.source);
        let mut connection = connected.connection.clone();
        let longest = self.settings.answer_timeout(0);
        // Whether it worked is seen when the script is called again.
        let _loaded = timeout(longest, connection.req_packed_command(&load)).await;
        search.step(reason).await
    }

    async fn follow(
        &self,
        from: &Link,
        to: &str,
        call: &Call<'_>,
        search: &mut Search,
        reason: String,
    ) -> Result<(), Failure> {
        match address(to, from) {
            Some(to) => self.nodes.moved(call.slot, to),
            None => self.nodes.doubt(),
        }
        search.step(reason).await
    }
}

impl Search {
    /// Goes on at once the first few times, then with pauses: two servers may each name the other.
    async fn step(&mut self, reason: String) -> Result<(), Failure> {
        const AT_ONCE: u32 = 4;
        if self.failed < AT_ONCE {
            self.failed += 1;
            return Ok(());
        }
        self.rest(reason).await
    }

    /// Goes on after a pause, if there is time.
    async fn rest(&mut self, reason: String) -> Result<(), Failure> {
        self.failed = self.failed.saturating_add(1);
        let pause: Duration = pause(self.failed);
        if Instant::now() + pause >= self.give_up {
            return Err(Failure::NotDone(reason));
        }
        sleep(pause).await;
        Ok(())
    }
}

/// The server's error in an error of the library.
fn server_error(error: &RedisError) -> Option<(String, String)> {
    let code = error.code()?.to_owned();
    Some((code, error.detail().unwrap_or_default().to_owned()))
}

/// Where a redirect leads. Without a host it means the host that sent it.
fn address(text: &str, from: &Link) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.trim_matches(['[', ']']) {
        "" | "?" => &from.address.host,
        host => host,
    };
    Some(Address {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

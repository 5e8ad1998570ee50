//! As much of the protocol as a test needs to set a server up.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::RedisError;

/// Longest wait for an answer: servers in tests answer in milliseconds, unless machines are busy.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A connection that is kept: a server that takes no further ones still answers on it.
#[derive(Debug)]
pub struct RedisSession(BufReader<TcpStream>);

impl RedisSession {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(port: u16) -> Result<Self, RedisError> {
        let connection = TcpStream::connect(("127.0.0.1", port)).await?;
        Ok(Self(BufReader::new(connection)))
    }

    /// Sends one command, and returns the answer as text, one line for each element of a list.
    ///
    /// # Errors
    /// When there is no answer, or it is an error. After the former the session is of no use.
    pub async fn command(&mut self, words: &[&str]) -> Result<String, RedisError> {
        let answer = timeout(ANSWER_MAX, exchange(&mut self.0, words)).await;
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer");
        answer.map_err(|_| late())?
    }
}

pub(super) async fn command(port: u16, words: &[&str]) -> Result<String, RedisError> {
    RedisSession::connect(port).await?.command(words).await
}

async fn exchange(
    connection: &mut BufReader<TcpStream>,
    words: &[&str],
) -> Result<String, RedisError> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.get_mut().write_all(text.as_bytes()).await?;
    let mut lines = Vec::new();
    let mut left = 1_usize;
    while left > 0 {
        left -= 1;
        let mut head = String::new();
        if connection.read_line(&mut head).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let head = head.trim_end();
        let (kind, rest) = head.split_at(head.len().min(1));
        match (kind, rest.parse::<usize>()) {
            ("-", _) => {
                return Err(RedisError::Refused {
                    command: words.first().copied().unwrap_or_default().to_owned(),
                    reason: rest.to_owned(),
                });
            }
            ("*", count) => left += count.unwrap_or(0),
            ("$", Ok(length)) => {
                let mut bytes = vec![0; length + 2];
                connection.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                lines.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            ("$", Err(_)) => lines.push(String::new()),
            _ => lines.push(rest.to_owned()),
        }
    }
    Ok(lines.join("\n"))
}

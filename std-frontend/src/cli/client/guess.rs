//! `client guess`: which number is it? A question is a datagram, asked again if it is lost.

use anyhow::anyhow;
use anywire_core::client::guess::{Answer, Halving};
use anywire_core::datagram::{DatagramService, MAX_DATAGRAM};
use anywire_core::service::guess::Guess as Service;

use crate::cli::client::lines::Lines;
use crate::cli::client::{Server, input_failed};
use crate::cli::failure::Failure;
use crate::cli::network::Network;
use crate::cli::options::Guess;
use crate::console::output::Output;

pub(super) fn run<N: Network>(options: N::Options, args: Guess) -> Result<(), Failure> {
    let server = Server::new::<N>(args.target, &options, <Service as DatagramService>::ABOUT);
    let network = N::open(options)?;
    let mut client = Client { server, network, output: Output::stdout() };
    if args.auto { client.halve() } else { client.ask_user() }
}

struct Client<N> {
    server: Server,
    network: N,
    output: Output,
}

impl<N: Network> Client<N> {
    /// Asks the user for numbers until one is correct.
    fn ask_user(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::of(None);
        loop {
            let prompt = || self.output.write(b"Enter a number from 1 to 99: ");
            let line = lines.next(MAX_DATAGRAM, prompt, |input| self.network.await_input(input));
            self.output.check().map_err(Failure::Output)?;
            let Some(line) = line.map_err(input_failed)? else {
                return Err(anyhow!("the number was not found: there are no more guesses").into());
            };
            // What is no number is for the server to say.
            if self.guess(line.trim_ascii())? == Answer::Correct {
                return Ok(());
            }
        }
    }

    /// Halves what is left until it is found.
    fn halve(&mut self) -> Result<(), Failure> {
        let mut halving = Halving::default();
        while let Some(guess) = halving.guess() {
            match self.guess(guess.to_string().as_bytes())? {
                Answer::Correct => return Ok(()),
                Answer::Invalid => {
                    return Err(anyhow!("{} does not say how {guess} is", self.server).into());
                }
                answer => halving.hear(answer),
            }
        }
        Err(anyhow!("no number fits all answers of {}", self.server).into())
    }

    /// Guesses, and shows the answer.
    fn guess(&mut self, guess: &[u8]) -> Result<Answer, Failure> {
        let Server { host, port, timeout } = &self.server;
        let mut reply = Vec::new();
        self.network.ask(host, *port, guess, &mut reply, *timeout)?;
        self.output.line_with("", &[guess, b": ", reply.trim_ascii()].concat());
        self.output.check().map_err(Failure::Output)?;
        Ok(Answer::of(&reply))
    }
}

//! `chat`: a conversation in the terminal.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use rocmforge_chat::Message;
use rocmforge_engine::{Completion, Engine, FinishReason, Request};
use rocmforge_tokenizer::{EncodeOptions, TokenId};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::generate::{failed, statistics};
use crate::args::{ChatArgs, Cli};
use crate::error::CliError;
use crate::output;
use crate::signals::StopOnInterrupt;

const HELP: &str = "\
/help           this list
/clear          forget the conversation
/save FILE      write the conversation to FILE as JSON
/system [TEXT]  show or set the system message (forgets the conversation)
/stats          tokens and speed of the last answer
/quit           leave (as does Ctrl-D)
Ctrl-C stops the answer that is being written.";

/// No command: a chat in a terminal, otherwise the piped text is a prompt.
pub fn or_prompt(cli: &Cli) -> Result<(), CliError> {
    use clap::Parser;
    if !io::stdin().is_terminal() {
        return super::generate::run_piped(cli, super::read_stdin()?);
    }
    /// The defaults of `chat`, without repeating them here.
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        args: ChatArgs,
    }
    run(cli, &Defaults::parse_from(["rocmforge"]).args)
}

pub fn run(cli: &Cli, args: &ChatArgs) -> Result<(), CliError> {
    let engine = cli.common.load_engine(cli.common.engine_options(), false)?;
    let mut chat =
        Chat { engine, args, system: args.system.clone(), messages: Vec::new(), raw: Vec::new(), last: None };
    chat.clear();
    if io::stdin().is_terminal() {
        eprintln!("Type a message; /help lists the commands.");
        return interactive(&mut chat);
    }
    for line in super::read_stdin()?.lines() {
        if chat.handle(line)?.is_break() {
            break;
        }
    }
    Ok(())
}

type Flow = std::ops::ControlFlow<()>;

fn interactive(chat: &mut Chat<'_>) -> Result<(), CliError> {
    let mut editor = DefaultEditor::new().map_err(|e| CliError::Failed(format!("cannot use the terminal: {e}")))?;
    let history = history_file();
    if let Some(path) = &history {
        // A first run has no history to load.
        let _ = editor.load_history(path);
    }
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                // A full history forgets its oldest line; that is no error.
                let _ = editor.add_history_entry(&line);
                if chat.handle(&line)?.is_break() {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => eprintln!("(Ctrl-D or /quit leaves)"),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(CliError::Failed(format!("cannot read from the terminal: {error}"))),
        }
    }
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        tracing::warn!("cannot save the history to {}: {error}", path.display());
    }
    Ok(())
}

/// Where lines typed in earlier chats are kept.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let folder =
        state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?.join("rocmforge");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

struct Chat<'a> {
    engine: Engine,
    args: &'a ChatArgs,
    system: Option<String>,
    messages: Vec<Message>,
    /// The conversation as tokens, where there is no template.
    raw: Vec<TokenId>,
    last: Option<Completion>,
}

impl Chat<'_> {
    fn handle(&mut self, line: &str) -> Result<Flow, CliError> {
        let line = line.trim();
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match command {
            "" => {}
            "/quit" | "/exit" => return Ok(Flow::Break(())),
            "/help" => eprintln!("{HELP}"),
            "/clear" => {
                self.clear();
                eprintln!("(forgotten)");
            }
            "/system" => self.set_system(rest.trim()),
            "/stats" => match &self.last {
                Some(completion) => eprintln!("{}", statistics(completion)),
                None => eprintln!("(no answer yet)"),
            },
            "/save" => self.save(rest.trim()),
            _ if command.starts_with('/') => eprintln!("no command {command}; /help lists them"),
            _ => self.say(line)?,
        }
        Ok(Flow::Continue(()))
    }

    fn clear(&mut self) {
        self.messages = self.system.iter().map(|text| Message::system(text.as_str())).collect();
        self.raw.clear();
    }

    fn set_system(&mut self, text: &str) {
        if text.is_empty() {
            eprintln!("{}", self.system.as_deref().unwrap_or("(no system message)"));
            return;
        }
        self.system = Some(text.to_string());
        self.clear();
    }

    fn save(&self, path: &str) {
        if path.is_empty() {
            eprintln!("/save needs a file name");
            return;
        }
        let saved = serde_json::to_string_pretty(&self.messages)
            .map_err(io::Error::other)
            .and_then(|text| std::fs::write(path, text + "\n"));
        match saved {
            Ok(()) => eprintln!("(saved to {path})"),
            Err(error) => eprintln!("cannot write {path}: {error}"),
        }
    }

    /// One turn. What concerns this turn alone is told and the chat goes on; a broken engine ends it.
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        self.messages.push(Message::user(text));
        let prompt = match self.prompt(text) {
            Ok(prompt) => prompt,
            Err(error) => return self.give_up_turn(error),
        };
        let completion = {
            let (_guard, cancel) = StopOnInterrupt::new();
            let request = Request {
                max_tokens: self.args.max_tokens,
                sampling: super::sampling_params(&self.args.sampling),
                cancel: cancel.clone(),
                ..Request::new(prompt)
            };
            let mut failure = None;
            let result = self.engine.generate(request, |event| {
                if let Err(error) = output::print(event.text()) {
                    failure.get_or_insert(error);
                    cancel.cancel();
                }
            });
            if let Some(error) = failure {
                return Err(error);
            }
            match result {
                Ok(completion) => completion,
                Err(error) => return self.give_up_turn(error.into()),
            }
        };
        output::print("\n")?;
        match completion.finish_reason {
            FinishReason::Cancelled => eprintln!("(stopped)"),
            FinishReason::Length => {
                eprintln!("(cut off: the token limit or the context is reached; /clear begins anew)")
            }
            _ => {}
        }
        if let Err(error) = failed(&completion) {
            return self.give_up_turn(error);
        }
        self.raw.extend_from_slice(&completion.tokens);
        self.messages.push(Message::assistant(completion.text.as_str()));
        self.last = Some(completion);
        Ok(())
    }

    fn prompt(&mut self, text: &str) -> Result<Vec<TokenId>, CliError> {
        let tokenizer = self.engine.tokenizer();
        if !self.args.no_template {
            return Ok(self.engine.chat().encode(tokenizer, &self.messages, None)?);
        }
        let options = EncodeOptions { add_special: self.raw.is_empty(), parse_special: true };
        let mut tokens = self.raw.clone();
        tokens.extend(tokenizer.encode(text, options)?);
        self.raw = tokens.clone();
        Ok(tokens)
    }

    /// Takes the turn back if its cause lies in it, so that the next one can still work.
    fn give_up_turn(&mut self, error: CliError) -> Result<(), CliError> {
        match error {
            CliError::Engine(error) if error.is_bad_input() => {
                self.messages.pop();
                eprintln!("error: {error}");
                Ok(())
            }
            other => Err(other),
        }
    }
}

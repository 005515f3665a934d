//! Code blocks of a page, with the remarks that stand right before them as HTML comments.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

/// What a comment says about the block after it.
#[derive(Debug, PartialEq)]
pub(super) enum Remark {
    /// It can't run in a test, for this reason.
    NotRun(String),
    /// It is a file of this name, which later commands of the page find.
    File(String),
    /// These paths are there, each a copy of a folder of the repository, or what is in an archive.
    Given(Vec<(String, String)>),
    /// It needs Slurm's commands.
    Slurm,
    /// It ends with this exit code.
    Ends(i32),
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// Its language.
    pub(super) kind: String,
    /// What is in it.
    pub(super) text: String,
    /// What is said about it.
    pub(super) remarks: Vec<Remark>,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// All fenced blocks of a page.
pub(super) fn of(page: &str) -> Vec<Block> {
    let (mut blocks, mut remarks, mut open) = (Vec::new(), Vec::new(), None::<Block>);
    let events = Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter();
    for (event, range) in events {
        match event {
            Event::Html(comment) => remarks.extend(remark(&comment)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) => {
                let line = page[..range.start].matches('\n').count() + 1;
                let remarks = std::mem::take(&mut remarks);
                let kind = kind.split([',', ' ']).next().unwrap_or_default().to_owned();
                open = Some(Block { kind, text: String::new(), remarks, line });
            }
            Event::Text(part) => add(&mut open, &part),
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => (),
            _ => remarks.clear(),
        }
    }
    blocks
}

fn add(open: &mut Option<Block>, part: &CowStr<'_>) {
    if let Some(block) = open {
        block.text.push_str(part);
    }
}

fn remark(comment: &str) -> Option<Remark> {
    let said = comment.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    let (word, rest) = said.split_once(':').unwrap_or((said, ""));
    let rest = rest.trim();
    Some(match word {
        "not run" => Remark::NotRun(rest.to_owned()),
        "file" => Remark::File(rest.to_owned()),
        "given" => Remark::Given(
            rest.split(',')
                .map(|it| {
                    let (path, folder) = it.split_once('=').expect("`PATH = FOLDER`");
                    (path.trim().to_owned(), folder.trim().to_owned())
                })
                .collect(),
        ),
        "with Slurm" => Remark::Slurm,
        "ends with" => Remark::Ends(rest.parse().expect("an exit code")),
        _ => panic!("no remark that a test knows: {comment}"),
    })
}

/// The command lines of a console block; what a line that ends with a backslash goes on with is a part of it.
pub(super) fn commands(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", "");
    joined.lines().filter_map(|it| it.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn remarks_belong_to_the_block_right_after_them() {
    let page = "<!-- file: a.toml -->\n```toml\nx = 1\n```\n\n<!-- not run: a GPU -->\n\n```console\n$ llem run \\\n    a.toml\nsaid\n$ ls\n```\n\
                \n<!-- with Slurm -->\n\nText.\n\n```console\n$ ls\n```\n";
    let blocks = of(page);
    assert_eq!(blocks[0].remarks, [Remark::File("a.toml".to_owned())]);
    assert_eq!(blocks[1].remarks, [Remark::NotRun("a GPU".to_owned())]);
    assert_eq!(commands(&blocks[1]), ["llem run     a.toml", "ls"]);
    assert_eq!((blocks[2].remarks.len(), blocks[2].line), (0, 19));
}

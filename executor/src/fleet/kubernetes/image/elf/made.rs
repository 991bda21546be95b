//! ELF files that tests make: the headers that a loader reads, and a text in place of code.

/// A file to make: 64 bits, little endian.
#[derive(Clone, Debug)]
pub(in super::super) struct Made {
    pub(in super::super) machine: u16,
    pub(in super::super) loader: Option<String>,
    pub(in super::super) needed: Vec<String>,
    pub(in super::super) rpath: Option<String>,
    pub(in super::super) runpath: Option<String>,
    /// Versions of the symbols that it needs of `libc.so.6`.
    pub(in super::super) needs: Vec<String>,
    /// Versions of the symbols that it defines.
    pub(in super::super) defines: Vec<String>,
    /// What makes it another file.
    pub(in super::super) code: Vec<u8>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            machine: object::elf::EM_X86_64,
            loader: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            needs: Vec::new(),
            defines: Vec::new(),
            code: b"code".to_vec(),
        }
    }
}

const HEADER: usize = 64;
const SEGMENT: usize = 56;

struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u64 {
        let at = self.0.len() as u64;
        self.0.extend(text.bytes());
        self.0.push(0);
        at
    }
}

impl Made {
    /// A program that glibc's loader starts, and that needs this version of it.
    pub(in super::super) fn program(version: &str) -> Self {
        Self {
            loader: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
            needed: vec!["libc.so.6".to_owned()],
            needs: vec![format!("GLIBC_{version}")],
            ..Self::default()
        }
    }

    /// A `libc.so.6` of this version.
    pub(in super::super) fn libc(version: &str) -> Self {
        Self {
            defines: ["libc.so.6", "GLIBC_2.2.5", "GLIBC_PRIVATE"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("GLIBC_{version}")])
                .collect(),
            ..Self::default()
        }
    }

    /// The file. Each address is the offset of its content.
    pub(in super::super) fn bytes(&self) -> Vec<u8> {
        let mut segments = Vec::new();
        let mut body = Vec::new();
        let count = 2 + usize::from(self.loader.is_some());
        let start = (HEADER + count * SEGMENT) as u64;
        let at = |body: &Vec<u8>| start + body.len() as u64;
        if let Some(loader) = &self.loader {
            let offset = at(&body);
            body.extend(loader.bytes().chain([0]));
            segments.push((object::elf::PT_INTERP, offset, loader.len() as u64 + 1));
        }
        let mut strings = Strings(vec![0]);
        let mut entries: Vec<(i64, u64)> = Vec::new();
        for name in &self.needed {
            entries.push((object::elf::DT_NEEDED, strings.add(name)));
        }
        let paths = [
            (object::elf::DT_RPATH, &self.rpath),
            (object::elf::DT_RUNPATH, &self.runpath),
        ];
        for (tag, path) in paths {
            entries.extend(path.iter().map(|path| (tag, strings.add(path))));
        }
        self.versions(&mut body, start, &mut strings, &mut entries);
        entries.push((object::elf::DT_STRTAB, at(&body)));
        entries.push((object::elf::DT_STRSZ, strings.0.len() as u64));
        body.extend(strings.0);
        pad(&mut body);
        entries.push((object::elf::DT_NULL, 0));
        let offset = at(&body);
        for (tag, value) in &entries {
            body.extend(tag.to_le_bytes());
            body.extend(value.to_le_bytes());
        }
        segments.push((object::elf::PT_DYNAMIC, offset, entries.len() as u64 * 16));
        body.extend(&self.code);
        segments.push((object::elf::PT_LOAD, 0, start + body.len() as u64));
        self.file(&segments, &body)
    }

    fn versions(
        &self,
        body: &mut Vec<u8>,
        start: u64,
        strings: &mut Strings,
        entries: &mut Vec<(i64, u64)>,
    ) {
        pad(body);
        if !self.needs.is_empty() {
            entries.push((object::elf::DT_VERNEED, start + body.len() as u64));
            let file = strings.add("libc.so.6") as u32;
            body.extend(1_u16.to_le_bytes());
            body.extend((self.needs.len() as u16).to_le_bytes());
            for word in [file, 16, 0] {
                body.extend(word.to_le_bytes());
            }
            for name in &self.needs {
                body.extend([0; 8]);
                body.extend((strings.add(name) as u32).to_le_bytes());
                body.extend(16_u32.to_le_bytes());
            }
        }
        if self.defines.is_empty() {
            return;
        }
        entries.push((object::elf::DT_VERDEF, start + body.len() as u64));
        for (number, name) in self.defines.iter().enumerate() {
            let last = number + 1 == self.defines.len();
            for half in [1_u16, 0, number as u16, 1] {
                body.extend(half.to_le_bytes());
            }
            let next = if last { 0 } else { 28 };
            for word in [0_u32, 20, next, strings.add(name) as u32, 0] {
                body.extend(word.to_le_bytes());
            }
        }
    }

    fn file(&self, segments: &[(u32, u64, u64)], body: &[u8]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for half in [object::elf::ET_DYN, self.machine] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1_u32.to_le_bytes());
        // Entry, segments, sections.
        for offset in [0, HEADER as u64, 0] {
            file.extend(offset.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for half in [
            HEADER as u16,
            SEGMENT as u16,
            segments.len() as u16,
            64,
            0,
            0,
        ] {
            file.extend(half.to_le_bytes());
        }
        for (kind, offset, size) in segments {
            file.extend(kind.to_le_bytes());
            file.extend(4_u32.to_le_bytes());
            for word in [*offset, *offset, *offset, *size, *size, 1] {
                file.extend(word.to_le_bytes());
            }
        }
        file.extend(body);
        file
    }
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(8), 0);
}

//! A table of named columns, and how it becomes a Parquet file and comes back.
//!
//! Knows five kinds of column and nothing of what they mean.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::Arc,
};

use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical},
    column::reader::ColumnReader,
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        reader::{FileReader, RowGroupReader, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::RawError;

const METADATA: &str = "llem";

/// Columns of one length, and a text about all of them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<(String, Column)>,
    pub(super) metadata: String,
}

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Column {
    Flag(Vec<Option<bool>>),
    Whole(Vec<Option<u64>>),
    Real(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
    /// Each cell is a list, maybe an empty one.
    Wholes(Vec<Vec<u64>>),
}

impl Table {
    /// A table without columns.
    pub(crate) fn new(metadata: String) -> Self {
        Self { columns: Vec::new(), metadata }
    }

    pub(crate) fn push(&mut self, name: &str, column: Column) {
        self.columns.push((name.to_owned(), column));
    }

    pub(super) fn whole(&mut self, name: &str, cells: impl IntoIterator<Item = Option<u64>>) {
        self.push(name, Column::Whole(cells.into_iter().collect()));
    }

    pub(super) fn real(&mut self, name: &str, cells: impl IntoIterator<Item = Option<f64>>) {
        self.push(name, Column::Real(cells.into_iter().collect()));
    }

    pub(super) fn take_whole(&mut self, name: &str) -> Option<Vec<Option<u64>>> {
        match self.take(name)? {
            Column::Whole(cells) => Some(cells),
            _ => None,
        }
    }

    pub(super) fn take_real(&mut self, name: &str) -> Option<Vec<Option<f64>>> {
        match self.take(name)? {
            Column::Real(cells) => Some(cells),
            _ => None,
        }
    }

    pub(super) fn take_text(&mut self, name: &str) -> Option<Vec<Option<String>>> {
        match self.take(name)? {
            Column::Text(cells) => Some(cells),
            _ => None,
        }
    }

    pub(super) fn take_wholes(&mut self, name: &str) -> Option<Vec<Vec<u64>>> {
        match self.take(name)? {
            Column::Wholes(cells) => Some(cells),
            _ => None,
        }
    }

    fn take(&mut self, name: &str) -> Option<Column> {
        let place = self.columns.iter().position(|(own, _)| own == name)?;
        Some(self.columns.swap_remove(place).1)
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), RawError> {
        let io = |source| RawError::Io { path: path.to_owned(), source };
        let whole = path.with_extension("parquet.part");
        let file = File::create(&whole).map_err(io)?;
        self.write_to(&file)
            .map_err(|source| RawError::Parquet { path: path.to_owned(), source })?;
        file.sync_all().map_err(io)?;
        fs::rename(&whole, path).map_err(io)
    }

    /// Writes it to anything.
    pub(crate) fn write_to(&self, sink: impl Write + Send) -> Result<(), ParquetError> {
        let fields = self.columns.iter().map(|(name, column)| field(name, column));
        let fields: Vec<TypePtr> = fields.collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("llem").with_fields(fields).build()?;
        let metadata = KeyValue::new(METADATA.to_owned(), self.metadata.clone());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(vec![metadata]));
        // Times and counters grow evenly, so their differences are small.
        let properties = self.columns.iter().fold(properties, |properties, (name, column)| {
            let leaf = match column {
                Column::Whole(_) => vec![name.clone()],
                Column::Wholes(_) => vec![name.clone(), "list".to_owned(), "element".to_owned()],
                Column::Flag(_) | Column::Real(_) | Column::Text(_) => return properties,
            };
            properties
                .set_column_dictionary_enabled(leaf.clone().into(), false)
                .set_column_encoding(leaf.into(), Encoding::DELTA_BINARY_PACKED)
        });
        let mut writer =
            SerializedFileWriter::new(sink, Arc::new(schema), Arc::new(properties.build()))?;
        let mut group = writer.next_row_group()?;
        for (_, column) in &self.columns {
            column.write(&mut group)?;
        }
        group.close()?;
        writer.close()?;
        Ok(())
    }

    /// Reads a file that [`Table::write`] wrote.
    pub(super) fn read(path: &Path) -> Result<Self, RawError> {
        let file =
            File::open(path).map_err(|source| RawError::Io { path: path.to_owned(), source })?;
        Self::read_from(file).map_err(|source| RawError::Parquet { path: path.to_owned(), source })
    }

    fn read_from(file: File) -> Result<Self, ParquetError> {
        let reader = SerializedFileReader::new(file)?;
        let metadata = reader.metadata().file_metadata();
        let own = metadata.key_value_metadata().into_iter().flatten();
        let text = own.filter(|it| it.key == METADATA).find_map(|it| it.value.clone());
        let schema = metadata.schema_descr_ptr();
        let mut table = Self { metadata: text.unwrap_or_default(), columns: Vec::new() };
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            for place in 0..schema.num_columns() {
                let name = schema.column(place).path().parts()[0].clone();
                let column = Column::read(group.as_ref(), place)?;
                table.extend(name, column);
            }
        }
        Ok(table)
    }

    fn extend(&mut self, name: String, more: Column) {
        let known = self.columns.iter_mut().find(|(own, _)| *own == name);
        match (known.map(|(_, column)| column), more) {
            (Some(Column::Flag(cells)), Column::Flag(more)) => cells.extend(more),
            (Some(Column::Whole(cells)), Column::Whole(more)) => cells.extend(more),
            (Some(Column::Real(cells)), Column::Real(more)) => cells.extend(more),
            (Some(Column::Text(cells)), Column::Text(more)) => cells.extend(more),
            (Some(Column::Wholes(cells)), Column::Wholes(more)) => cells.extend(more),
            (_, more) => self.columns.push((name, more)),
        }
    }
}

fn field(name: &str, column: &Column) -> Result<TypePtr, ParquetError> {
    let leaf = |name: &str, kind, logical, repetition| {
        Type::primitive_type_builder(name, kind)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()
    };
    let whole = Some(LogicalType::Integer { bit_width: 64, is_signed: false });
    let optional = Repetition::OPTIONAL;
    let made = match column {
        Column::Flag(_) => leaf(name, Physical::BOOLEAN, None, optional)?,
        Column::Whole(_) => leaf(name, Physical::INT64, whole, optional)?,
        Column::Real(_) => leaf(name, Physical::DOUBLE, None, optional)?,
        Column::Text(_) => leaf(name, Physical::BYTE_ARRAY, Some(LogicalType::String), optional)?,
        Column::Wholes(_) => {
            let element = leaf("element", Physical::INT64, whole, Repetition::REQUIRED)?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![Arc::new(element)])
                .build()?;
            Type::group_type_builder(name)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(list)])
                .build()?
        }
    };
    Ok(Arc::new(made))
}

/// Values without their gaps, and for each cell whether it has one.
fn dense<T, U>(cells: &[Option<T>], value: impl Fn(&T) -> U) -> (Vec<U>, Vec<i16>) {
    let levels = cells.iter().map(|it| i16::from(it.is_some())).collect();
    (cells.iter().flatten().map(value).collect(), levels)
}

/// Cells from values and levels.
fn sparse<T>(values: Vec<T>, levels: &[i16]) -> Vec<Option<T>> {
    let mut values = values.into_iter();
    levels.iter().map(|level| if *level == 1 { values.next() } else { None }).collect()
}

impl Column {
    fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let mut writer = group.next_column()?.expect("the schema has this column");
        match self {
            Self::Flag(cells) => {
                let (values, levels) = dense(cells, |it| *it);
                writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Whole(cells) => {
                let (values, levels) = dense(cells, |it| it.cast_signed());
                writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Real(cells) => {
                let (values, levels) = dense(cells, |it| *it);
                writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Text(cells) => {
                let (values, levels) = dense(cells, |it| ByteArray::from(it.as_str()));
                writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
            Self::Wholes(cells) => {
                let values: Vec<i64> = cells.iter().flatten().map(|it| it.cast_signed()).collect();
                let (mut defined, mut repeated) = (Vec::new(), Vec::new());
                for cell in cells {
                    defined.extend(std::iter::repeat_n(
                        i16::from(!cell.is_empty()),
                        cell.len().max(1),
                    ));
                    repeated.push(0);
                    repeated.extend(cell.iter().skip(1).map(|_| 1_i16));
                }
                writer.typed::<Int64Type>().write_batch(
                    &values,
                    Some(&defined),
                    Some(&repeated),
                )?;
            }
        }
        writer.close()
    }

    fn read(group: &dyn RowGroupReader, place: usize) -> Result<Self, ParquetError> {
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let is_list = group.metadata().column(place).column_descr().max_rep_level() > 0;
        let (mut defined, mut repeated) = (Vec::new(), Vec::new());
        Ok(match group.get_column_reader(place)? {
            ColumnReader::BoolColumnReader(mut reader) => {
                let mut values = Vec::new();
                reader.read_records(rows, Some(&mut defined), None, &mut values)?;
                Self::Flag(sparse(values, &defined))
            }
            ColumnReader::Int64ColumnReader(mut reader) => {
                let mut values: Vec<i64> = Vec::new();
                let repeats = is_list.then_some(&mut repeated);
                reader.read_records(rows, Some(&mut defined), repeats, &mut values)?;
                let values: Vec<u64> = values.into_iter().map(i64::cast_unsigned).collect();
                if is_list {
                    Self::Wholes(lists(values, &defined, &repeated))
                } else {
                    Self::Whole(sparse(values, &defined))
                }
            }
            ColumnReader::DoubleColumnReader(mut reader) => {
                let mut values = Vec::new();
                reader.read_records(rows, Some(&mut defined), None, &mut values)?;
                Self::Real(sparse(values, &defined))
            }
            ColumnReader::ByteArrayColumnReader(mut reader) => {
                let mut values = Vec::new();
                reader.read_records(rows, Some(&mut defined), None, &mut values)?;
                let text = |it: ByteArray| Ok(it.as_utf8()?.to_owned());
                let values = values.into_iter().map(text).collect::<Result<_, ParquetError>>()?;
                Self::Text(sparse(values, &defined))
            }
            _ => return Err(ParquetError::General("a column of an unknown type".to_owned())),
        })
    }
}

fn lists(values: Vec<u64>, defined: &[i16], repeated: &[i16]) -> Vec<Vec<u64>> {
    let mut values = values.into_iter();
    let mut lists: Vec<Vec<u64>> = Vec::new();
    for (defined, repeated) in defined.iter().zip(repeated) {
        if *repeated == 0 {
            lists.push(Vec::new());
        }
        if let (1, Some(list)) = (*defined, lists.last_mut()) {
            list.extend(values.next());
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_comes_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("table.parquet");
        let columns = [
            Column::Flag(vec![Some(true), Some(false), None, None]),
            Column::Whole(vec![Some(0), None, Some(u64::MAX), Some(7)]),
            Column::Real(vec![Some(0.1 + 0.2), Some(f64::MIN_POSITIVE), None, Some(-0.0)]),
            Column::Text(vec![Some(String::new()), None, Some("ä\n".to_owned()), None]),
            Column::Wholes(vec![vec![], vec![3], vec![1, 2, 9], vec![]]),
        ];
        let mut table = Table { metadata: "x = 1".to_owned(), ..Table::default() };
        for (place, column) in columns.iter().enumerate() {
            table.push(&place.to_string(), column.clone());
        }
        table.write(&path).expect("it is writable");
        let mut read = Table::read(&path).expect("it is readable");
        assert_eq!(read.metadata, "x = 1");
        for (place, column) in columns.iter().enumerate() {
            assert_eq!(read.take(&place.to_string()).as_ref(), Some(column));
        }
    }

    #[test]
    fn an_empty_table_comes_back_empty() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("table.parquet");
        let mut table = Table::default();
        table.whole("a", []);
        table.push("b", Column::Wholes(Vec::new()));
        table.write(&path).expect("it is writable");
        let mut read = Table::read(&path).expect("it is readable");
        assert_eq!(read.take_whole("a"), Some(Vec::new()));
        assert_eq!(read.take_wholes("b"), Some(Vec::new()));
    }
}

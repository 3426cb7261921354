//! The official library writes and reads the schemas in fbs/ as they are described there.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod wire;

use flatbuffers::FlatBufferBuilder;
use wire::cache_entry::{CacheEntry, CacheEntryArgs, finish_cache_entry_buffer, root_as_cache_entry};
use wire::snapshot::{Role, Snapshot, SnapshotArgs, ToolCall, ToolCallArgs, Turn, TurnArgs};
use wire::snapshot::{finish_snapshot_buffer, root_as_snapshot, snapshot_buffer_has_identifier};
use wire::task::{Task, TaskArgs, TaskResult, TaskResultArgs, TaskStatus, finish_task_buffer, root_as_task};

#[test]
fn snapshot_comes_back_as_it_was_written() {
    let mut out = FlatBufferBuilder::new();
    let call = ToolCallArgs {
        id: Some(out.create_string("call-1")),
        name: Some(out.create_string("look_up")),
        arguments: Some(out.create_string("{\"id\": 7}")),
        ..ToolCallArgs::default()
    };
    let call = ToolCall::create(&mut out, &call);
    let turn = TurnArgs {
        role: Role::Assistant,
        tool_calls: Some(out.create_vector(&[call])),
        tokens: 12,
        is_pinned: true,
        time_ms: 1_700_000_000_000,
        ..TurnArgs::default()
    };
    let turn = Turn::create(&mut out, &turn);
    let session = SnapshotArgs {
        session_id: Some(out.create_string("灯笼")),
        turns: Some(out.create_vector(&[turn])),
        vector_dim: 2,
        vectors: Some(out.create_vector(&[0.5_f32, -1.0, 1.0, 0.0])),
        payload: Some(out.create_vector(b"\0\xFF")),
        ..SnapshotArgs::default()
    };
    let session = Snapshot::create(&mut out, &session);
    finish_snapshot_buffer(&mut out, session);

    let bytes = out.finished_data();
    assert!(snapshot_buffer_has_identifier(bytes));
    assert_eq!(&bytes[4..8], b"RCSS");

    let session = root_as_snapshot(bytes).unwrap();
    assert_eq!((session.version(), session.created_ms(), session.summary()), (1, 0, None));
    assert_eq!(session.session_id(), Some("灯笼"));
    assert_eq!(session.vectors().unwrap().iter().collect::<Vec<_>>(), [0.5, -1.0, 1.0, 0.0]);
    assert_eq!(session.payload().unwrap().bytes(), b"\0\xFF");

    let turn = session.turns().unwrap().get(0);
    assert_eq!((turn.role(), turn.text(), turn.tokens()), (Role::Assistant, None, 12));
    assert_eq!((turn.is_pinned(), turn.time_ms()), (true, 1_700_000_000_000));
    let call = turn.tool_calls().unwrap().get(0);
    assert_eq!((call.id(), call.name(), call.arguments()), (Some("call-1"), Some("look_up"), Some("{\"id\": 7}")));
    assert_eq!((call.is_custom(), call.extra()), (false, None));
}

#[test]
fn cache_entry_comes_back_as_it_was_written() {
    let mut out = FlatBufferBuilder::new();
    let entry = CacheEntryArgs {
        key: Some(out.create_vector(b"\xED\xA0\x80 alone")),
        value: Some(out.create_vector(b"\0\xFF")),
        vector: Some(out.create_vector(&[0.6_f32, 0.8])),
        deadline_ns: u64::MAX,
        age: 7,
        ..CacheEntryArgs::default()
    };
    let entry = CacheEntry::create(&mut out, &entry);
    finish_cache_entry_buffer(&mut out, entry);
    assert_eq!(&out.finished_data()[4..8], b"RCCE");

    let entry = root_as_cache_entry(out.finished_data()).unwrap();
    assert_eq!((entry.version(), entry.value_is_text(), entry.deadline_ns()), (1, false, u64::MAX));
    assert_eq!(entry.key().unwrap().bytes(), b"\xED\xA0\x80 alone");
    assert_eq!(entry.value().unwrap().bytes(), b"\0\xFF");
    assert_eq!(entry.vector().unwrap().iter().collect::<Vec<_>>(), [0.6, 0.8]);
    assert!(entry.tenant().is_none() && entry.model_id().is_none());
    assert_eq!((entry.is_pinned(), entry.age(), entry.uses(), entry.is_main()), (false, 7, 0, false));
    assert_eq!((entry.cost().to_bits(), entry.priority().to_bits()), (1_f64.to_bits(), 0));
}

#[test]
fn task_comes_back_as_it_was_written() {
    let mut out = FlatBufferBuilder::new();
    let result = TaskResultArgs {
        status: TaskStatus::Failed,
        error: Some(out.create_string("no such model")),
        ..TaskResultArgs::default()
    };
    let result = TaskResult::create(&mut out, &result);
    let task = TaskArgs {
        id: Some(out.create_string("t-1")),
        type_: Some(out.create_string("embed")),
        payload: Some(out.create_vector(b"\0\xFF")),
        result: Some(result),
        ..TaskArgs::default()
    };
    let task = Task::create(&mut out, &task);
    finish_task_buffer(&mut out, task);
    assert_eq!(&out.finished_data()[4..8], b"RCTK");

    let task = root_as_task(out.finished_data()).unwrap();
    assert_eq!((task.version(), task.id(), task.type_(), task.deadline_ms()), (1, Some("t-1"), Some("embed"), 0));
    assert_eq!(task.payload().unwrap().bytes(), b"\0\xFF");
    let result = task.result().unwrap();
    assert_eq!((result.status(), result.error()), (TaskStatus::Failed, Some("no such model")));
    assert!(result.payload().is_none());
}

;; Calls itself until the stack ends.
(module
  (memory (export "memory") 17)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func $deeper (param i64 i64) (result i64)
    (i64.add (local.get 0) (call $deeper (i64.add (local.get 0) (i64.const 1)) (local.get 1))))
  (func (export "decide") (param i32) (result i32) (i32.wrap_i64 (call $deeper (i64.const 0) (i64.const 0))))
)

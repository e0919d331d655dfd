;; Denies, for a reason that is not UTF-8.
(module
  (memory (export "memory") 17)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (data (i32.const 2048) "\01\00\00\00\10\08\00\00\02\00\00\00")
  (data (i32.const 2064) "\ff\fe")
  (func (export "decide") (param i32) (result i32) (i32.const 2048))
)

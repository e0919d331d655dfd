;; Reads what is not there.
(module
  (memory (export "memory") 17)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "decide") (param i32) (result i32) (i32.load (i32.const -4)))
)

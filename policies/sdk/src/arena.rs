//! The allocator of a policy's module. A decision takes a few kilobytes and gives all
//! of them back: what is handed out is what comes next, and once nothing is out any
//! more it begins anew. It takes the end of the memory that the module begins with,
//! so that the host need not make it larger for one decision and smaller after it.

use core::alloc::Layout;

/// Where the next allocation begins. All numbers are addresses.
#[derive(Debug)]
pub(crate) struct Arena {
    base: usize,
    next: usize,
    /// How many allocations are out.
    out: usize,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            base: 0,
            next: 0,
            out: 0,
        }
    }

    /// From `base` on, unless it began already.
    pub(crate) fn begin(&mut self, base: usize) {
        if self.base == 0 {
            (self.base, self.next) = (base, base);
        }
    }

    /// Where an allocation begins, if memory up to its end can be `had`.
    pub(crate) fn take(
        &mut self,
        layout: Layout,
        had: impl FnOnce(usize) -> bool,
    ) -> Option<usize> {
        let start = self.next.checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size())?;
        if !had(end) {
            return None;
        }
        self.next = end;
        self.out += 1;
        Some(start)
    }

    /// Whether the allocation at `start` could be made as large as `size`, or smaller,
    /// where it is.
    pub(crate) fn resize(
        &mut self,
        start: usize,
        layout: Layout,
        size: usize,
        had: impl FnOnce(usize) -> bool,
    ) -> bool {
        if start + layout.size() != self.next {
            return size <= layout.size();
        }
        match start.checked_add(size) {
            Some(end) if end <= self.next || had(end) => {
                self.next = end;
                true
            }
            _ => false,
        }
    }

    /// Takes an allocation back.
    pub(crate) fn give_back(&mut self, start: usize, layout: Layout) {
        self.out -= 1;
        if self.out == 0 {
            self.next = self.base;
        } else if start + layout.size() == self.next {
            self.next = start;
        }
    }
}

#[cfg(all(target_arch = "wasm32", feature = "arena"))]
mod global {
    use core::alloc::{GlobalAlloc, Layout};
    use core::arch::wasm32::{memory_grow, memory_size};
    use core::cell::UnsafeCell;

    use super::Arena;

    const PAGE: usize = 64 << 10;

    unsafe extern "C" {
        /// The linker's: behind it nothing is the module's own.
        static __heap_base: u8;
    }

    struct Global(UnsafeCell<Arena>);

    // SAFETY: a policy's module has one thread.
    unsafe impl Sync for Global {}

    #[global_allocator]
    static GLOBAL: Global = Global(UnsafeCell::new(Arena::new()));

    /// Whether memory goes up to `end`, or could be made to.
    fn had(end: usize) -> bool {
        let more = end.saturating_sub(memory_size(0) * PAGE).div_ceil(PAGE);
        more == 0 || memory_grow(0, more) != usize::MAX
    }

    impl Global {
        fn with<T>(&self, act: impl FnOnce(&mut Arena) -> T) -> T {
            // SAFETY: one thread, and no act asks for memory.
            let arena = unsafe { &mut *self.0.get() };
            arena.begin(&raw const __heap_base as usize);
            act(arena)
        }
    }

    // SAFETY: each allocation begins where the one before it ends, in memory that is
    // there, and what was given back is used again when nobody has what lies behind it.
    unsafe impl GlobalAlloc for Global {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.with(|arena| arena.take(layout, had))
                .map_or(core::ptr::null_mut(), |start| start as *mut u8)
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            self.with(|arena| arena.give_back(ptr as usize, layout));
        }

        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if self.with(|arena| arena.resize(ptr as usize, layout, size, had)) {
                return ptr;
            }
            // SAFETY: the caller's layout was good, and the new one is no larger than the
            // caller says that it may be.
            unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    core::ptr::copy_nonoverlapping(ptr, new, layout.size().min(size));
                    self.dealloc(ptr, layout);
                }
                new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: usize = 1_001;
    const END: usize = 9_000;

    fn had(end: usize) -> bool {
        end <= END
    }

    fn arena() -> Arena {
        let mut arena = Arena::new();
        arena.begin(BASE);
        arena.begin(5);
        arena
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn allocations_are_aligned_one_behind_the_other_and_end_where_memory_does() {
        let mut arena = arena();
        assert_eq!(arena.take(layout(3, 1), had), Some(BASE));
        assert_eq!(arena.take(layout(16, 8), had), Some(1_008));
        assert_eq!(arena.take(layout(7_977, 1), had), None);
        assert_eq!(arena.take(layout(7_976, 1), had), Some(1_024));
        assert_eq!(arena.take(layout(1, 1), had), None);
        assert_eq!(arena.take(layout(isize::MAX as usize, 1), had), None);
    }

    #[test]
    fn what_is_given_back_last_or_altogether_is_used_again() {
        let mut arena = arena();
        let of = layout(10, 1);
        let [a, b, c] = [(); 3].map(|()| arena.take(of, had).unwrap());
        arena.give_back(c, of);
        assert_eq!(arena.take(of, had), Some(c));
        // One in the middle is not.
        arena.give_back(b, of);
        assert_eq!(arena.take(of, had), Some(c + 10));
        for start in [a, c, c + 10] {
            arena.give_back(start, of);
        }
        assert_eq!(arena.take(of, had), Some(BASE));
    }

    #[test]
    fn the_last_one_grows_where_it_is_and_others_do_not() {
        let mut arena = arena();
        let of = layout(10, 1);
        let [a, b] = [(); 2].map(|()| arena.take(of, had).unwrap());
        assert!(arena.resize(b, of, 500, had) && !arena.resize(a, of, 11, had));
        assert!(arena.resize(a, of, 5, had));
        assert!(!arena.resize(b, layout(500, 1), END, had));
        assert_eq!(arena.take(of, had), Some(b + 500));
    }
}

// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Finding the ringzero hypervisor, and the calls of it that are not inline.
 */
#include <linux/export.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/csr.h>
#include <asm/page.h>
#include <asm/ringzero.h>
#include <asm/sbi.h>

unsigned long ringzero_page[RINGZERO_WORDS] __aligned(PAGE_SIZE) __section(".data..page_aligned");
EXPORT_SYMBOL(ringzero_page);

extern void ringzero_exception(void);

static long call(unsigned long function, unsigned long first, unsigned long second,
		 unsigned long third, unsigned long *value)
{
	register unsigned long a0 asm("a0") = first;
	register unsigned long a1 asm("a1") = second;
	register unsigned long a2 asm("a2") = third;
	register unsigned long a6 asm("a6") = function;
	register unsigned long a7 asm("a7") = RINGZERO_EXTENSION;

	asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
	if (value)
		*value = a1;
	return a0;
}

void ringzero_deliver(void)
{
	call(RINGZERO_DELIVER, 0, 0, 0, NULL);
}
EXPORT_SYMBOL(ringzero_deliver);

void ringzero_set_space(unsigned long satp)
{
	call(RINGZERO_SPACE, satp, 0, 0, NULL);
}

void ringzero_flush(unsigned long address, unsigned long pages, unsigned long space)
{
	call(RINGZERO_FLUSH, address, pages, space, NULL);
}
EXPORT_SYMBOL(ringzero_flush);

/* The hypervisor looks at the page's deadline by itself, but not before `armed`. */
void ringzero_set_timer(unsigned long deadline)
{
	ringzero_word(DEADLINE) = deadline;
	if (deadline < ringzero_word(ARMED))
		call(RINGZERO_TIMER, deadline, 0, 0, NULL);
}

/*
 * A place where kernel code can be written, 32 pages and one more at a time: patching them all needs
 * one flush then. What is not found here is mapped as elsewhere.
 */
#define WINDOW (32 * PAGE_SIZE)

void *ringzero_patch_window(void *addr)
{
	static struct vm_struct *area;
	static unsigned long mapped = ~0UL;
	unsigned long phys = __pa_symbol(addr), start = phys & ~(WINDOW - 1), at;

	if (!slab_is_available())
		return NULL;
	if (!area)
		area = get_vm_area(WINDOW + PAGE_SIZE, VM_MAP);
	if (!area)
		return NULL;
	at = (unsigned long)area->addr;
	if (mapped != start) {
		if (mapped != ~0UL)
			vunmap_range(at, at + WINDOW + PAGE_SIZE);
		mapped = ~0UL;
		if (vmap_page_range(at, at + WINDOW + PAGE_SIZE, start, PAGE_KERNEL))
			return NULL;
		mapped = start;
	}
	return (void *)(at + (phys - start));
}

void __init ringzero_init(void)
{
	unsigned long version, vector;

	if (sbi_probe_extension(RINGZERO_EXTENSION) <= 0)
		return;
	if (call(RINGZERO_DESCRIBE, 0, 0, 0, &version) || version >> 16 != RINGZERO_MAJOR)
		return;
	vector = csr_swap(CSR_TVEC, (unsigned long)ringzero_exception);
	if (call(RINGZERO_REGISTER, __pa_symbol(ringzero_page), (unsigned long)ringzero_page,
		 RINGZERO_ALWAYS_SUM, NULL)) {
		csr_write(CSR_TVEC, vector);
		return;
	}
	pr_info("ringzero: hypercalls %lu.%lu\n", version >> 16, version & 0xffff);
}

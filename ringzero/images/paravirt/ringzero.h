/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Calls of the ringzero hypervisor, and the page that a hart shares with it. While word
 * RINGZERO_VERSION of the page is zero there is none, and everything goes the usual way.
 * The numbers below are the interface's; see docs/hypercalls.md of ringzero.
 */
#ifndef _ASM_RISCV_RINGZERO_H
#define _ASM_RISCV_RINGZERO_H

@NUMBERS@
#define RINGZERO_OWN 1024	/* a word that is ours */

#ifndef __ASSEMBLY__

#include <linux/compiler.h>
#include <linux/types.h>

#define RINGZERO_WORDS 512
extern unsigned long ringzero_page[RINGZERO_WORDS];

#define ringzero_word(name) (*(volatile unsigned long *)((char *)ringzero_page + RINGZERO_##name))

void ringzero_deliver(void);
void ringzero_set_space(unsigned long satp);
void ringzero_flush(unsigned long address, unsigned long pages, unsigned long space);
void ringzero_set_timer(unsigned long deadline);
void ringzero_init(void);

static __always_inline bool ringzero_on(void)
{
	return ringzero_word(VERSION) != 0;
}

static __always_inline void ringzero_irq_enable(void)
{
	barrier();
	ringzero_word(ENABLED) = 2;
	if (unlikely(ringzero_word(PENDING) & ringzero_word(ENABLES)))
		ringzero_deliver();
	barrier();
}

static __always_inline unsigned long ringzero_irq_save(void)
{
	unsigned long before = ringzero_word(ENABLED);

	ringzero_word(ENABLED) = 0;
	barrier();
	return before;
}

#else /* __ASSEMBLY__ */

/* Write a CSR, or the word of the page that it is. */
.macro ringzero_write csr, word, value, t1, t2
	la	\t1, ringzero_page
	ld	\t2, RINGZERO_VERSION(\t1)
	beqz	\t2, .Lringzero_csr\@
	sd	\value, \word(\t1)
	j	.Lringzero_done\@
.Lringzero_csr\@:
	csrw	\csr, \value
.Lringzero_done\@:
.endm

/* The floating-point unit, for a moment: t1 is SR_FS afterwards. */
.macro ringzero_floats on
	la	t2, ringzero_page
	ld	t3, RINGZERO_VERSION(t2)
	li	t1, SR_FS
	beqz	t3, .Lringzero_csr\@
	ld	t3, RINGZERO_STATUS(t2)
	or	t3, t3, t1
	.if \on == 0
	xor	t3, t3, t1
	.endif
	sd	t3, RINGZERO_STATUS(t2)
	j	.Lringzero_done\@
.Lringzero_csr\@:
	.if \on
	csrs	CSR_STATUS, t1
	.else
	csrc	CSR_STATUS, t1
	.endif
.Lringzero_done\@:
.endm

/* User memory: with the page, the kernel may always touch it. */
.macro ringzero_user_memory operation
	la	t6, ringzero_page
	ld	t6, RINGZERO_VERSION(t6)
	bnez	t6, .Lringzero_done\@
	li	t6, SR_SUM
	\operation	CSR_STATUS, t6
.Lringzero_done\@:
.endm

#endif /* __ASSEMBLY__ */
#endif

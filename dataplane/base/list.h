/* base/list.h: an intrusive doubly linked list.
 *
 * A list head and a node are the same struct; an initialised node that is in no list points to
 * itself, so removing it twice does no harm. Not thread-safe. */
#ifndef MR_BASE_LIST_H
#define MR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct mr_list {
    struct mr_list *next;
    struct mr_list *prev;
};

#define MR_CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Iterates over `node` from front to back; the current node may be removed inside the loop. */
#define MR_LIST_FOR_EACH(node, head)                                                               \
    for (struct mr_list *node = (head)->next, *node##_next = node->next; node != (head);           \
         node = node##_next, node##_next = node->next)

static inline void
mr_list_init(struct mr_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool
mr_list_empty(const struct mr_list *list)
{
    return list->next == list;
}

static inline void
mr_list_push_back(struct mr_list *head, struct mr_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void
mr_list_push_front(struct mr_list *head, struct mr_list *node)
{
    mr_list_push_back(head->next, node);
}

static inline void
mr_list_remove(struct mr_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    mr_list_init(node);
}

/* Removes and returns the first node, or NULL when the list is empty. */
static inline struct mr_list *
mr_list_pop_front(struct mr_list *head)
{
    struct mr_list *node = head->next;

    if (node == head) {
        return NULL;
    }
    mr_list_remove(node);
    return node;
}

#endif

// Tables of label sets in shared memory, each with its numbers. A row is written once, published,
// and never moves or goes: finding one takes no lock, and its numbers are added to by any process.
// New rows are made under the pool's mutex. A process that is killed while it makes one leaves a
// row that was never published: the next one takes its place.
#pragma once

#include <atomic>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

using SharedNumber = std::atomic<int64_t>;
static_assert(SharedNumber::is_always_lock_free);

inline void add(SharedNumber &number, int64_t amount) {
    if (amount != 0) {  // most of what a request could count, it does not
        number.fetch_add(amount, std::memory_order_relaxed);
    }
}

inline int64_t get(const SharedNumber &number) {
    return number.load(std::memory_order_relaxed);
}

uint32_t hash_of(std::string_view text);

// A row: `labels` as they stand on the page, and what is counted.
template <size_t kText, class Numbers>
struct SeriesRow {
    uint32_t hash;
    uint16_t size;
    uint16_t kind;  // Metric where rows of several stand in one table
    char text[kText];
    Numbers numbers;

    std::string_view labels() const { return {text, size}; }
};

template <class Row>
class SeriesTable {
  public:
    // Takes its memory from the pool, which is locked.
    bool allocate(ngx_slab_pool_t *pool, uint32_t capacity) {
        uint32_t places = 4;
        while (places < capacity * 2) {
            places *= 2;
        }
        auto *index = static_cast<std::atomic<uint32_t> *>(
            ngx_slab_calloc_locked(pool, places * sizeof(std::atomic<uint32_t>)));
        auto *rows = static_cast<Row *>(ngx_slab_calloc_locked(pool, capacity * sizeof(Row)));
        index_ = index;
        rows_ = rows;
        if (index == nullptr || rows == nullptr) {
            release(pool);
            return false;
        }
        mask_ = places - 1;
        capacity_ = capacity;
        return true;
    }

    // Of a table that nobody has used.
    void release(ngx_slab_pool_t *pool) {
        for (void *memory : {static_cast<void *>(index_), static_cast<void *>(rows_)}) {
            if (memory != nullptr) {
                ngx_slab_free_locked(pool, memory);
            }
        }
        index_ = nullptr;
        rows_ = nullptr;
        mask_ = capacity_ = 0;
    }

    uint32_t size() const { return count_.load(std::memory_order_acquire); }
    uint32_t capacity() const { return capacity_; }
    Row &row(uint32_t number) { return rows_[number]; }

    Row *find(uint32_t hash, uint16_t kind, std::string_view labels) {
        uint32_t count = size();
        for (uint32_t place = hash & mask_, seen = 0; seen <= mask_;
             place = (place + 1) & mask_, seen++) {
            uint32_t number = index_[place].load(std::memory_order_acquire);
            if (number == 0) {
                return nullptr;
            }
            if (number <= count && is_same(rows_[number - 1], hash, kind, labels)) {
                return &rows_[number - 1];
            }
        }
        return nullptr;
    }

    // Under the pool's mutex. Null: the table is full but for `reserve` rows.
    Row *find_or_add(uint32_t hash, uint16_t kind, std::string_view labels, uint32_t reserve) {
        if (Row *row = find(hash, kind, labels)) {
            return row;
        }
        uint32_t count = size();
        if (count + reserve >= capacity_ || labels.size() > sizeof(rows_->text)) {
            return nullptr;
        }
        uint32_t place = hash & mask_;
        for (uint32_t seen = 0; index_[place].load(std::memory_order_relaxed) != 0; seen++) {
            // What a killed process left points behind the last row.
            if (index_[place].load(std::memory_order_relaxed) > count) {
                break;
            }
            if (seen > mask_) {
                return nullptr;
            }
            place = (place + 1) & mask_;
        }
        Row &row = rows_[count];
        row.hash = hash;
        row.kind = kind;
        row.size = uint16_t(labels.size());
        ngx_memcpy(row.text, labels.data(), labels.size());
        index_[place].store(count + 1, std::memory_order_release);
        count_.store(count + 1, std::memory_order_release);
        return &row;
    }

  private:
    static bool is_same(const Row &row, uint32_t hash, uint16_t kind, std::string_view labels) {
        return row.hash == hash && row.kind == kind && row.labels() == labels;
    }

    uint32_t capacity_;
    uint32_t mask_;
    std::atomic<uint32_t> count_;
    std::atomic<uint32_t> *index_;
    Row *rows_;
};

}  // namespace llm

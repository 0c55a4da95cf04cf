// Reading the client's body. nginx hands the bytes to its request body filters in pieces; ours
// copies them into the one buffer and lets only the end of the body through, so that nginx keeps
// nothing and writes no temporary file.
#include "ngx_llm_module/request/body.hpp"

#include <malloc.h>
#include <zlib.h>

#include <cstdlib>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/large_blocks.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/inflate.hpp"

namespace llm {
namespace {

ngx_http_request_body_filter_pt next_body_filter;

ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in) {
    LlmRequest *request = r == r->main ? find_llm_request(r) : nullptr;
    if (request == nullptr) {
        return next_body_filter(r, in);
    }
    ngx_chain_t *last = nullptr;
    for (ngx_chain_t *link = in; link != nullptr; link = link->next) {
        ngx_buf_t *buf = link->buf;
        if (buf->last > buf->pos) {
            request->body.append(
                {reinterpret_cast<char *>(buf->pos), size_t(buf->last - buf->pos)});
            buf->pos = buf->last;
        }
        if (buf->last_buf) {
            last = link;
        }
    }
    if (last == nullptr) {
        return next_body_filter(r, nullptr);
    }
    ngx_chain_t end = {last->buf, nullptr};
    return next_body_filter(r, &end);
}

void unset_coding(ngx_list_t &headers) {
    for (ngx_list_part_t *part = &headers.part; part != nullptr; part = part->next) {
        auto *header = static_cast<ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (wire::same_name(view(header[i].key), "content-encoding")) {
                ngx_str_set(&header[i].value, "identity");
            }
        }
    }
}

void give_back(void *memory) {
    if (!keep_large_block(memory)) {
        free(memory);
    }
}

}  // namespace

void install_body_filter() {
    next_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = guard<filter_body, NGX_HTTP_INTERNAL_SERVER_ERROR>;
}

bool RequestBody::expect(off_t content_length, size_t limit) {
    limit_ = limit;
    if (content_length > off_t(limit)) {
        is_too_large_ = true;
        return false;
    }
    // Memory comes with the bytes, not with the promise of them.
    constexpr off_t kTrusted = 1 << 20;
    return content_length <= 0 ||
           grow(size_t(content_length < kTrusted ? content_length : kTrusted));
}

bool RequestBody::grow(size_t capacity) {
    if (data_ == nullptr && capacity >= kLargeBlock) {
        data_ = static_cast<char *>(take_large_block(capacity + json::kPadding));
        if (data_ != nullptr) {
            capacity_ = malloc_usable_size(data_) - json::kPadding;
            return true;
        }
    }
    char *bigger = static_cast<char *>(realloc(data_, capacity + json::kPadding));
    if (bigger == nullptr) {
        return false;
    }
    data_ = bigger;
    capacity_ = capacity;
    return true;
}

bool RequestBody::append(std::string_view bytes) {
    if (bytes.empty()) {
        return true;
    }
    if (is_too_large_ || bytes.size() > limit_ - size_) {
        is_too_large_ = true;  // the rest is read and dropped, the answer is a 413
        return false;
    }
    if (bytes.size() > capacity_ - size_) {
        size_t wanted = capacity_ * 2 > size_ + bytes.size() ? capacity_ * 2 : size_ + bytes.size();
        if (!grow(wanted > limit_ ? limit_ : wanted)) {
            is_too_large_ = true;
            return false;
        }
    }
    memcpy(data_ + size_, bytes.data(), bytes.size());
    has_backslash_ = has_backslash_ || memchr(data_ + size_, '\\', bytes.size()) != nullptr;
    size_ += bytes.size();
    memset(data_ + size_, 0, json::kPadding);
    return true;
}

bool RequestBody::take_over(const ngx_chain_t *read) {
    u_char piece[16384];
    is_taken_over_ = read != nullptr;
    for (; read != nullptr && !is_too_large_; read = read->next) {
        ngx_buf_t *buf = read->buf;
        if (ngx_buf_in_memory(buf)) {
            append({reinterpret_cast<char *>(buf->pos), size_t(buf->last - buf->pos)});
            continue;
        }
        for (off_t at = buf->file_pos; buf->in_file && at < buf->file_last && !is_too_large_;) {
            auto wanted = size_t(ngx_min(off_t(sizeof(piece)), buf->file_last - at));
            ssize_t size = ngx_read_file(buf->file, piece, wanted, at);
            if (size <= 0) {
                return false;
            }
            append({reinterpret_cast<char *>(piece), size_t(size)});
            at += size;
        }
    }
    return true;
}

void RequestBody::hand_over(ngx_http_request_t *r) {
    if (r->request_body == nullptr || is_taken_over_) {
        return;
    }
    if (is_too_large_) {
        // A part would pass for the whole. nginx, too, has no body where it answered 413 itself.
        r->request_body->bufs = nullptr;
        r->headers_in.content_length_n = 0;
        return;
    }
    if (size_ == 0) {
        return;
    }
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(r->pool, 0);
    auto *buf = static_cast<ngx_buf_t *>(ngx_calloc_buf(r->pool));
    ngx_chain_t *link = ngx_alloc_chain_link(r->pool);
    if (cleanup == nullptr || buf == nullptr || link == nullptr) {
        return;
    }
    buf->start = buf->pos = reinterpret_cast<u_char *>(data_);
    buf->end = buf->last = buf->pos + size_;
    buf->memory = 1;
    buf->last_buf = 1;
    *link = {buf, nullptr};
    r->request_body->bufs = link;
    r->headers_in.content_length_n = off_t(size_);
    if (was_compressed_) {
        unset_coding(r->headers_in.headers);
    }
    cleanup->handler = guard<give_back>;
    cleanup->data = std::exchange(data_, nullptr);
    release();
}

const char *RequestBody::decompress() {
    RequestBody packed;
    std::swap(packed.data_, data_);
    std::swap(packed.size_, size_);
    std::swap(packed.capacity_, capacity_);
    has_backslash_ = false;

    z_stream z;
    memset(&z, 0, sizeof(z));
    if (inflateInit2(&z, MAX_WBITS + 32) != Z_OK) {  // +32: gzip or zlib by its header
        return "the body cannot be decompressed";
    }
    z.next_in = reinterpret_cast<Bytef *>(packed.data_);
    z.avail_in = uInt(packed.size_);
    int rc = Z_OK;
    char piece[16384];
    while (rc == Z_OK && !is_too_large_) {
        z.next_out = reinterpret_cast<Bytef *>(piece);
        z.avail_out = sizeof(piece);
        rc = inflate(&z, Z_NO_FLUSH);
        append({piece, sizeof(piece) - z.avail_out});
        if (rc == Z_BUF_ERROR) {
            break;
        }
        if (rc == Z_STREAM_END && Inflate::begins_member(z)) {
            rc = Z_OK;
        }
    }
    bool is_whole = rc == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    if (is_whole || is_too_large_) {
        was_compressed_ = true;
        return nullptr;
    }
    // Whoever gets it next gets what the client sent.
    std::swap(packed.data_, data_);
    std::swap(packed.size_, size_);
    std::swap(packed.capacity_, capacity_);
    return "the compressed body is damaged";
}

void RequestBody::blank(size_t begin, size_t end) {
    if (begin < end && end <= size_) {
        memset(data_ + begin, ' ', end - begin);
    }
}

void RequestBody::release() {
    give_back(std::exchange(data_, nullptr));
    size_ = 0;
    capacity_ = 0;
}

}  // namespace llm

// Reading the client's body. nginx hands the bytes to its request body filters in pieces; ours
// copies them into the one buffer and lets only the end of the body through, so that nginx keeps
// nothing and writes no temporary file.
#include "ngx_llm_module/request/body.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/llm_request.hpp"

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

// Large buffers are kept for the next request, a few of them: getting and returning megabytes
// costs the kernel more (page by page) than all else that is done with a body.
constexpr size_t kLargeBody = 128 * 1024;
constexpr size_t kMaxSpareBytes = 8 << 20;

struct SpareBody {
    char *data;
    size_t capacity;
};

SpareBody spare_bodies[8];
size_t spare_count = 0;
size_t spare_bytes = 0;

// The one used last that is large enough and not far too large: its lines may still be cached.
SpareBody take_spare(size_t capacity) {
    for (size_t i = spare_count; i-- > 0;) {
        SpareBody found = spare_bodies[i];
        if (found.capacity >= capacity && found.capacity / 4 <= capacity) {
            std::copy(spare_bodies + i + 1, spare_bodies + spare_count, spare_bodies + i);
            spare_count--;
            spare_bytes -= found.capacity;
            return found;
        }
    }
    return {nullptr, 0};
}

bool keep_spare(char *data, size_t capacity) {
    if (capacity < kLargeBody || spare_count == std::size(spare_bodies) ||
        spare_bytes + capacity > kMaxSpareBytes) {
        return false;
    }
    spare_bodies[spare_count++] = {data, capacity};
    spare_bytes += capacity;
    return true;
}

}  // namespace

void free_spare_bodies() {
    while (spare_count > 0) {
        free(spare_bodies[--spare_count].data);
    }
    spare_bytes = 0;
}

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
    if (data_ == nullptr && capacity >= kLargeBody) {
        SpareBody spare = take_spare(capacity);
        data_ = spare.data;
        capacity_ = spare.capacity;
        if (data_ != nullptr) {
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
    }
    bool is_whole = rc == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    return is_whole || is_too_large_ ? nullptr : "the compressed body is damaged";
}

void RequestBody::blank(size_t begin, size_t end) {
    if (begin < end && end <= size_) {
        memset(data_ + begin, ' ', end - begin);
    }
}

void RequestBody::release() {
    if (!keep_spare(data_, capacity_)) {
        free(data_);
    }
    data_ = nullptr;
    size_ = 0;
    capacity_ = 0;
}

}  // namespace llm

// The request body in one contiguous buffer, whatever its framing: length or chunks, HTTP/1 or
// HTTP/2, compressed or not. The one copy of the request; padded for the JSON reader.
#pragma once

#include <string_view>

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "translators/json/reader.hpp"

namespace llm {

class RequestBody {
  public:
    ~RequestBody() { release(); }

    std::string_view view() const { return {data_, size_}; }
    bool is_too_large() const { return is_too_large_; }
    // nginx has it as well.
    bool is_taken_over() const { return is_taken_over_; }
    bool has_backslash() const { return has_backslash_; }

    // Before anything is read. False: it is too large already.
    bool expect(off_t content_length, size_t limit);
    bool append(std::string_view bytes);
    // What another module has read before us (mirror, a proxy_pass whose error_page leads here). It
    // stays its own. False: a file of it cannot be read.
    bool take_over(const ngx_chain_t *read);
    // Takes a gzip or deflate coding off; nothing, or what is wrong.
    const char *decompress();
    // Writes blanks over a part that is not to be sent.
    void blank(size_t begin, size_t end);
    // Becomes nginx's body of the request again, for the location that an error_page leads to.
    void hand_over(ngx_http_request_t *r);
    // Gives the memory back, once no attempt can need it any more.
    void release();

  private:
    bool grow(size_t capacity);

    char *data_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
    size_t limit_ = 0;
    bool is_too_large_ = false;
    bool has_backslash_ = false;
    bool was_compressed_ = false;
    bool is_taken_over_ = false;
};

// Puts our filter in front of nginx's own ones.
void install_body_filter();

}  // namespace llm

// The bytes of the state's files (state_file.hpp): lines with a sum, the head of a section, and
// what of a journal a crash may have torn.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

struct StateSection;

constexpr std::string_view kStateHeader = "{\"llm_state\":1}";
constexpr std::string_view kNoRecords = "[]";  // the end of a snapshot; in a journal: there is one

uint32_t crc_of(std::string_view text);
void append_line(std::string_view json, std::string &out);
// Without its CRC; empty: damaged.
std::string_view check_line(std::string_view line);
// What stands in the journal when there is a snapshot.
const std::string &snapshot_note();
bool has_note(std::string_view journal);
// The last line, which begins there, is what a crash leaves of one that was not yet synced.
bool is_torn(std::string_view journal, size_t begin);

std::string journal_of(const Config &config);
std::string section_of(const Config &config, const StateSection &section);

// The first line of a section.
struct Head {
    char text[64];
    size_t size;

    Head(size_t body, uint32_t crc)
        : size(size_t(snprintf(text, sizeof(text), "llm_state 1 %zu %08x\n", body, crc))) {}
    std::string_view view() const { return {text, size}; }
};

class File {
  public:
    File(const std::string &path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
    ~File() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    int fd() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }

  private:
    int fd_;
};

// A missing file is an empty one. False: errno says why.
bool read_file(const std::string &path, std::string &text);

}  // namespace llm

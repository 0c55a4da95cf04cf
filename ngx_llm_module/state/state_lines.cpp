#include "ngx_llm_module/state/state_lines.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "ngx_llm_module/state/state_file.hpp"

namespace llm {
namespace {

constexpr size_t kCrcSize = 8;
constexpr off_t kMaxFile = off_t(4) << 30;
constexpr size_t kSector = 512;

// A piece that the disk has not got, of a file that has grown already: it reads as zeros. What a
// disk writes it writes by whole sectors.
bool has_hole(std::string_view text, size_t begin) {
    while (begin < text.size()) {
        size_t end = std::min(text.size(), (begin / kSector + 1) * kSector);
        if (text.substr(begin, end - begin).find_first_not_of('\0') == text.npos) {
            return true;
        }
        begin = end;
    }
    return false;
}

}  // namespace

uint32_t crc_of(std::string_view text) {
    return ngx_crc32_long(reinterpret_cast<u_char *>(const_cast<char *>(text.data())), text.size());
}

void append_line(std::string_view json, std::string &out) {
    char crc[kCrcSize + 2];
    snprintf(crc, sizeof(crc), "%08x ", crc_of(json));
    out.append(crc, kCrcSize + 1).append(json).append(1, '\n');
}

// Without its CRC; empty: damaged.
std::string_view check_line(std::string_view line) {
    uint32_t crc = 0;
    if (line.size() < kCrcSize + 2 || line[kCrcSize] != ' ') {
        return {};
    }
    auto [end, code] = std::from_chars(line.data(), line.data() + kCrcSize, crc, 16);
    std::string_view json = line.substr(kCrcSize + 1);
    return code == std::errc() && end == line.data() + kCrcSize && crc == crc_of(json)
               ? json
               : std::string_view();
}

const std::string &snapshot_note() {
    static const std::string note = [] {
        std::string line;
        append_line(kNoRecords, line);
        return line;
    }();
    return note;
}

bool has_note(std::string_view journal) {
    const std::string &note = snapshot_note();
    return journal.starts_with(note) || journal.find("\n" + note) != journal.npos;
}

// Written in one piece behind what is synced: a process that is killed leaves its beginning, a
// machine that dies maybe some sectors of it. Whatever else is wrong with it was done to it later.
bool is_torn(std::string_view journal, size_t begin) {
    std::string_view line = journal.substr(begin);
    if (line.empty() || has_hole(journal, begin)) {
        return !line.empty();
    }
    // Whole but for its end, it is not a beginning.
    return line.back() != '\n' && check_line(line.substr(0, line.size() - 1)).empty();
}

std::string journal_of(const Config &config) {
    return config.state_path + ".journal";
}

std::string section_of(const Config &config, const StateSection &section) {
    return config.state_path + "." + std::string(section.name);
}

bool read_file(const std::string &path, std::string &text) {
    File file(path, O_RDONLY);
    struct stat info;
    if (!file.is_open()) {
        return errno == ENOENT;
    }
    if (fstat(file.fd(), &info) != 0) {
        return false;
    }
    if (info.st_size > kMaxFile || !S_ISREG(info.st_mode)) {
        errno = EFBIG;
        return false;
    }
    text.resize(size_t(info.st_size));
    size_t size = 0;
    while (size < text.size()) {
        ssize_t got = ::read(file.fd(), text.data() + size, text.size() - size);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        if (got == 0) {
            break;
        }
        size += got > 0 ? size_t(got) : 0;
    }
    text.resize(size);
    return true;
}

}  // namespace llm

// What the page is about: its room, its person, and where it keeps what a reload must not lose.
export const byId = (id) => document.getElementById(id)

export const settings = JSON.parse(document.body.dataset.settings)
export const { room } = settings
export const me = { id: settings.id, name: settings.name }

export const pathOf = (name) => `${settings.base}/room/${encodeURIComponent(name)}`

// What every connection of this page is opened with: a frame of /two says by a token who it is.
export const identity = settings.token ? { auth: () => settings.token } : {}

/** A value in `storage` (this tab's or the browser's), for this person: `load()`, and `save(value)`. */
export const kept = (storage, name, empty) => {
  const key = `chat:${me.id}:${name}`
  return {
    key,
    load() {
      try {
        return JSON.parse(storage.getItem(key)) ?? empty
      } catch {
        return empty
      }
    },
    save(value) {
      try {
        if (value === '' || value?.length === 0) storage.removeItem(key)
        else storage.setItem(key, JSON.stringify(value))
      } catch {
        // The storage is full or forbidden: then nothing outlives a reload.
      }
    },
  }
}
